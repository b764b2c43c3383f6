"""Files as a member of the family: their keys, their digest, and when they are read."""

import hashlib

import numpy as np
import pytest

from lad_mpi.data import File, readers
from lad_mpi.errors import DataError, ParameterError

X = np.array([[1.0, 0.5], [0.0, -2.0], [3.0, 4.25]])
Y = np.array([1.0, -1.5, 2.0])


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("path", {"path": ""}),
        ("test_path", {"path": "d.csv", "test_path": ""}),
        ("target", {"path": "d.csv", "target": 0}),
        ("index", {"path": "d.csv", "index": -1}),
    ],
)
def test_parameters_out_of_range(field, parameters):
    with pytest.raises(ParameterError) as caught:
        File(**parameters)
    assert caught.value.parameter == field


def test_keys_of_tables_apply_to_both_files(tmp_path):
    for name, first in (("train", 4), ("test", 9)):
        (tmp_path / f"{name}.csv").write_text(f"0,1,2,3\n0,{first},7,1\n1,6,9,8\n2,0,2,3\n")
    plain = File(str(tmp_path / "train.csv"), test_path=str(tmp_path / "test.csv"))
    with pytest.raises(DataError, match="two ways"):
        plain.read()
    samples, test = File(plain.path, plain.test_path, header=True, index=True, target="1").read()
    np.testing.assert_array_equal(samples.features, test.features)
    np.testing.assert_array_equal(samples.targets, [4, 6, 0])
    np.testing.assert_array_equal(test.targets, [9, 6, 0])


def test_the_digest_identifies_both_files(tmp_path):
    for name, shift in (("a", 0), ("b", 1), ("c", 2)):
        np.savez(tmp_path / f"{name}.npz", X=X + shift, y=Y)
    a, b, c = (str(tmp_path / f"{name}.npz") for name in "abc")
    pairs = [(a, None), (a, a), (a, b), (a, c), (b, a), (b, None)]
    assert len({File(*pair).digest() for pair in pairs}) == len(pairs)


def test_the_digest_depends_on_what_decides_the_reading(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("0,1,2\n3,5,8\n4,5,5\n")
    digests = {
        File(str(path), header=header, index=index).digest()
        # True and 1 are equal in Python.
        for header, index in ((True, False), (False, False), (False, True))
    }
    assert len(digests) == 3
    first = File(str(path), header=False, target=1, index=2)
    assert first.digest() != File(str(path), header=False, index=True).digest()


def test_the_digest_is_the_documented_one(tmp_path):
    np.savez(tmp_path / "d.npz", X=X, y=Y)
    features, targets = X.astype("<f8").tobytes(), Y.astype("<f8").tobytes()
    content = b"<f8 (3, 2)\n" + features + b"<f8 (3,)\n" + targets
    expected = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert File(str(tmp_path / "d.npz")).digest() == expected
    assert File(str(tmp_path / "d.npz")).read()[0].digest == expected


def test_the_digest_does_not_depend_on_the_layout_in_memory(tmp_path):
    X = np.random.default_rng(0).normal(size=(10_000, 3))
    for name, array in (("rows", X), ("columns", np.asfortranarray(X))):
        np.savez(tmp_path / f"{name}.npz", X=array, y=X[:, 0])
    rows, columns = (File(str(tmp_path / f"{name}.npz")) for name in ("rows", "columns"))
    assert rows.digest() == columns.digest()


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (np.nextafter(X, 9), Y),
        (X[::-1], Y[::-1]),
        (X[:, ::-1], Y),
        (X[:2], Y[:2]),
        (X, -Y),
        (np.concatenate([X, X]), np.concatenate([Y, Y])),
    ],
)
def test_other_samples_have_another_digest(tmp_path, features, targets):
    np.savez(tmp_path / "d.npz", X=X, y=Y)
    before = File(str(tmp_path / "d.npz")).digest()
    np.savez(tmp_path / "d.npz", X=features, y=targets)
    assert File(str(tmp_path / "d.npz")).digest() != before


@pytest.fixture
def readings(monkeypatch):
    """Count how often files are read."""
    readings = []
    read = readers.read_npz

    def counting(path, source, most_bytes):
        readings.append(source)
        return read(path, source, most_bytes)

    monkeypatch.setattr(readers, "read_npz", counting)
    return readings


def test_a_file_is_read_once_for_its_digest_and_its_samples(tmp_path, readings):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, y=Y)
    assert File(str(path)).digest() == File(str(path)).digest()
    samples, _ = File(str(path)).read()
    assert len(readings) == 1
    assert samples.digest == File(str(path)).digest()
    assert len(readings) == 1
    # What was handed out is not kept, so that samples are in memory once.
    assert File(str(path)).read()[0] is not samples
    assert len(readings) == 2


def test_a_file_that_was_replaced_is_read_again(tmp_path, readings):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, y=Y)
    before = File(str(path)).digest()
    np.savez(tmp_path / "new.npz", X=X, y=Y + 1)
    (tmp_path / "new.npz").replace(path)
    samples, _ = File(str(path)).read()
    np.testing.assert_array_equal(samples.targets, Y + 1)
    assert samples.digest == File(str(path)).digest() != before
