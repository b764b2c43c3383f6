"""Every rank calls the same collectives in the same order, whatever its role."""

import pytest

from lad_mpi.spec import parse_spec
from lad_mpi.training import Existing, run_spec
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import open_link
from lad_mpi.transport.mpi import MpiExchange, MpiLink

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(60)]

LINK = ("share", "gather_texts", "collect", "gather_rows", "scatter_rows")
EXCHANGE = ("broadcast", "gather")
COMMON = {
    "iterations": 9,
    "devices": {"count": 13, "byzantine": 3},
    "logging": {"flush_every": 2},
    # If a rank skips a collective, the watchdog names it and ends the job.
    "safety": {"checkpoint_every": 4, "timeout_s": 20.0},
}
#: The specs, and the collectives of their runs.
SPECS = {
    "residuals": (
        {
            "data": {"dimension": 9},
            "compression": {"kind": "top_k", "k": 2, "error_feedback": True},
        },
        {*LINK, "broadcast", "gather"},
    ),
    "training": (
        {
            "data": {"kind": "synthetic_classification", "classes": 3, "dimension": 4},
            "model": {"kind": "softmax_regression"},
            "devices": {"count": 13, "byzantine": 3, "batch_size": 4, "momentum": 0.5},
            "logging": {"flush_every": 2, "evaluate_every": 4},
        },
        {*LINK, "broadcast", "gather"},
    ),
}
SPEC = parse_spec(COMMON)


@pytest.fixture
def called(monkeypatch):
    """Names of the collectives that this rank has called."""
    names = []

    def recorded(name, method):
        def call(*arguments, **options):
            names.append(name)
            return method(*arguments, **options)

        return call

    for owner, methods in ((MpiLink, LINK), (MpiExchange, EXCHANGE)):
        for name in methods:
            monkeypatch.setattr(owner, name, recorded(name, getattr(owner, name)))
    return names


class StopsAfter(InterruptRequest):
    """Asks the run to stop after a number of checks."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def signal_name(self):
        self.looks -= 1
        return "" if self.looks >= 0 else "SIGTERM"


@pytest.mark.usefixtures("evaluated_together")
@pytest.mark.parametrize(("changes", "expected"), SPECS.values(), ids=SPECS)
def test_an_interrupted_and_resumed_run_keeps_all_ranks_in_step(
    world, called, tmp_path, changes, expected
):
    spec, link = parse_spec({**COMMON, **changes}), open_link()
    stopped = run_spec(spec, link, tmp_path / "log.h5", interrupt=StopsAfter(6))
    assert stopped.status == "interrupted"
    resumed = run_spec(spec, link, tmp_path / "log.h5", existing=Existing.RESUME)
    assert resumed.status == "complete"
    assert world.allgather(called) == [called] * world.size
    assert called.count("gather") == spec.iterations
    assert set(called) == expected


def test_a_failure_on_one_rank_keeps_all_ranks_in_step(world, called, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    if world.rank == world.size - 1:
        monkeypatch.setattr("lad_mpi.training.iteration.DeviceBlock", fail)
    outcome = run_spec(SPEC, open_link(), tmp_path / "log.h5")
    assert outcome.failure.startswith(f"rank {world.size - 1}: not enough memory")
    assert world.allgather(called) == [called] * world.size
