"""Least times of phases: which work they stand for, not how long it takes."""

import numpy as np
import pytest

from lad_mpi.measure import bounds as module
from lad_mpi.measure.bounds import measure_bounds, shown_bytes
from lad_mpi.measure.timing import Timing
from lad_mpi.models import LinearRegression, Mlp, SoftmaxRegression
from lad_mpi.spec import parse_spec
from lad_mpi.transport import Loopback
from lad_mpi.types import SampleForm

TABLES = {
    "data": {"dimension": 40},
    "devices": {"count": 6, "byzantine": 1},
    "coding": {"load": 2},
}


def bases(**changed):
    found = measure_bounds(parse_spec({**TABLES, **changed}), Loopback())
    assert all(bound.seconds > 0 for bound in found.values())
    return {phase: bound.basis for phase, bound in found.items()}


@pytest.fixture
def timeless(monkeypatch):
    """Let a call take one second for each time that a phase does its work."""
    monkeypatch.setattr(
        module,
        "measure_times",
        lambda calls, repeats: {key: Timing((1.0,) * repeats) for key in calls},
    )
    monkeypatch.setattr(module, "_calls_in", lambda call, seconds: 1)


def test_a_plain_run_has_a_bound_for_all_that_it_does():
    found = bases()
    assert found.keys() == {"compute", "pack", "unpack", "aggregate", "update"}
    # Six vectors of 40 numbers, and headers of 32 bytes.
    assert found["pack"] == found["unpack"] == "CRC-32 of 2.11 kB"
    assert found["aggregate"] == "reading 1.92 kB"
    assert found["update"] == "reading 640 B, writing 320 B"


def test_more_work_has_more_bounds():
    found = bases(
        compute="shared",
        compression={"kind": "sign"},
        aggregation={"kind": "krum"},
        network={"emulate": {"latency": "1ms"}},
    )
    assert found.keys() >= {"encode", "broadcast", "gather"}
    assert found["encode"] == "reading 3.84 kB, writing 1.92 kB"
    assert found["pack"].endswith(", reading 1.92 kB")
    assert found["unpack"].endswith(", writing 1.92 kB")
    assert found["aggregate"] in {"reading 1.92 kB", "the Gram matrix of 1.92 kB"}
    assert found["broadcast"] == found["gather"] == "the emulated network"


def test_the_bound_of_matrix_products_has_their_sizes():
    changed = {"data": {"kind": "digits"}, "model": {"kind": "softmax_regression"}}
    assert bases(**changed)["compute"] == "matrix products of the same sizes"


@pytest.mark.parametrize("model", [LinearRegression(), SoftmaxRegression(), Mlp(()), Mlp((5, 3))])
def test_declared_products_are_the_declared_operations(model):
    form = SampleForm((7,), 0 if model.task == "regression" else 4)
    work = model.gradient_work(form, 11)
    done = sum(2 * np.prod(product) for product in work.products)
    assert done == (0 if work.product == "gemv" else work.operations)


@pytest.mark.usefixtures("timeless")
def test_a_bound_is_the_longest_of_what_may_overlap():
    parts = {
        "compute": [
            module._Part("both", [module._Work(int, 2.0), module._Work(int, 3.0)]),
            module._Part("one", [module._Work(int, 4.0)]),
        ]
    }
    assert module._measure(parts) == {"compute": (5.0, "both")}


@pytest.mark.usefixtures("timeless")
def test_work_on_large_arrays_is_scaled_up(monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 1600)
    part = module._moving(16_000.0, 3200.0)
    assert part.basis == "reading 16 kB, writing 3.2 kB"
    assert [work.times for work in part.works] == [10.0, 2.0]
    assert module._checksum(3200.0).times == 2.0
    assert module._gram(5, 400.0, np.dtype("float64")).times == 10.0


def test_bytes_are_shown_with_a_prefix():
    assert [shown_bytes(size) for size in (12, 8e5, 8e8, 8.8e9)] == [
        "12 B",
        "800 kB",
        "800 MB",
        "8.8 GB",
    ]
