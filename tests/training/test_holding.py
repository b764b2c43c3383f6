"""Which data a rank holds, in which type, and what it draws of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lad_mpi.data import Dataset
from lad_mpi.errors import DataError
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec
from lad_mpi.training.holding import hold, used_subsets
from lad_mpi.transport import Layout, Loopback
from lad_mpi.types import SampleForm

COUNT, RANKS = 12, 4
FIXED = {"kind": "cyclic", "load": 3, "assignment": "fixed"}
#: Not rank 0, which uses all subsets.
ELSEWHERE = replace(Loopback(), rank=2, size=RANKS)
DATA = Dataset(
    np.arange(12.0).reshape(4, 3),
    np.arange(4.0),
    np.array([0, 2, 4]),
    SampleForm((3,)),
    np.ones((2, 3)),
    np.ones(2),
)


def spec(**tables):
    return parse_spec({"devices": {"count": COUNT, "byzantine": 2}, "coding": FIXED, **tables})


def held(spec, link=ELSEWHERE, dtype="float64"):
    return hold(spec, link, Layout(COUNT, link.size), Streams(1), np.dtype(dtype))


def of(dataset):
    """Return a spec whose data are these."""
    whole = spec()
    return SimpleNamespace(
        data=SimpleNamespace(load=lambda *_, **__: dataset),
        devices=whole.devices,
        model=whole.model,
        coding=whole.coding,
        attack=whole.attack,
    )


@pytest.mark.parametrize("part", ["features", "targets", "test_features", "test_targets"])
def test_data_beyond_float32_are_refused(part):
    huge = getattr(DATA, part).copy()
    huge.flat[1] = 1e300
    data = replace(DATA, **{part: huge})
    held(of(data), Loopback())
    with pytest.raises(DataError, match=r"too large for float32(.|\n)*float64"):
        held(of(data), Loopback(), "float32")


def test_one_process_copies_no_data_of_the_right_type():
    dataset = held(of(DATA), Loopback()).dataset
    assert dataset.features is DATA.features
    assert held(of(DATA), Loopback(), "float32").dataset.features.dtype == np.float32


def test_a_host_uses_the_subsets_of_its_devices_and_those_that_its_ranks_evaluate():
    layout, streams = Layout(COUNT, RANKS), Streams(1)
    # Rank 1 hosts devices 0 to 3. Device i holds the subsets i, i + 1 and i + 2.
    assert layout.block(1) == (0, 4)
    assert used_subsets(spec(), layout, streams, [1]).tolist() == [0, 1, 2, 3, 4, 5]
    assert used_subsets(spec(), layout, streams, [3]).tolist() == [0, 1, 8, 9, 10, 11]
    assert used_subsets(spec(), layout, streams, [1, 2, 3]).tolist() == list(range(COUNT))


@pytest.mark.parametrize(
    ("tables", "ranks"),
    [
        ({}, [0, 1]),
        ({"coding": {"kind": "cyclic", "load": 3}}, [1]),
        ({"attack": {"kind": "label_flip"}}, [1]),
    ],
    ids=["the server", "a code that varies", "an attack on targets"],
)
def test_everything_is_held_where_any_subset_may_be_used(tables, ranks):
    assert used_subsets(spec(**tables), Layout(COUNT, RANKS), Streams(1), ranks) is None


@pytest.mark.parametrize("kind", ["synthetic", "synthetic_classification"])
def test_subsets_that_are_drawn_alone_have_the_same_bits(kind):
    model = "linear_regression" if kind == "synthetic" else "softmax_regression"
    tables = {"data": {"kind": kind, "dimension": 5}, "model": {"kind": model}}
    part, whole = held(spec(**tables)), held(spec(**tables), Loopback())
    assert whole.subsets is None
    assert 0 < len(part.subsets) < COUNT
    for k in part.subsets:
        rows = slice(*whole.dataset.offsets[k : k + 2])
        for name in ("features", "targets"):
            one, other = getattr(part.dataset, name)[rows], getattr(whole.dataset, name)[rows]
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(part.dataset.test_features, whole.dataset.test_features)


def test_subsets_that_are_not_used_are_not_drawn(monkeypatch):
    drawn = []
    generator = Streams.generator

    def counted(self, purpose, **keys):
        drawn.append(keys.get("device"))
        return generator(self, purpose, **keys)

    monkeypatch.setattr(Streams, "generator", counted)
    part = held(spec())
    # Stream 0 is the common model, and stream k + 1 is subset k.
    assert {device for device in drawn if device} == {int(k) + 1 for k in part.subsets}


def test_data_that_are_read_are_kept_in_the_rows_that_are_used(tmp_path):
    path = tmp_path / "data.csv"
    values = np.arange(1.0, 1 + 3 * 4 * COUNT).reshape(-1, 3)
    np.savetxt(path, values, delimiter=",", header="a,b,y", comments="")
    table = {"data": {"kind": "file", "path": str(path), "standardize": False}}
    part, whole = held(spec(**table)), held(spec(**table), Loopback())
    assert part.dataset.digest == whole.dataset.digest
    first, stop = whole.dataset.offsets[part.subsets[0] : part.subsets[0] + 2]
    np.testing.assert_array_equal(
        part.dataset.features[first:stop], whole.dataset.features[first:stop]
    )
    np.testing.assert_array_equal(part.dataset.targets, whole.dataset.targets)
