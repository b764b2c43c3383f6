"""Phases of a log held against a wall clock."""

import dataclasses

import numpy as np
import pytest

from lad_mpi.errors import RunFailedError
from lad_mpi.logs import read_log
from lad_mpi.measure.bench_iteration import PAYLOAD, UNTIMED, bench_iteration, split
from lad_mpi.spec import parse_spec
from lad_mpi.training import PHASE_NAMES, TRAINING_PHASES, run_spec
from lad_mpi.transport import Loopback

SPEC = parse_spec(
    {
        "iterations": 40,
        "data": {"kind": "synthetic", "dimension": 4},
        "devices": {"count": 6, "byzantine": 1},
        "coding": {"kind": "cyclic", "load": 2},
        "logging": {"flush_every": 10, "warmup_iterations": 0},
    }
)


class Silent:
    def note(self, text):
        pass

    def update(self, iteration, iterations, loss):
        pass


def test_a_run_is_split_into_phases_and_a_rest():
    found = bench_iteration(SPEC, Loopback())
    assert found.phases_s.keys() == {*PHASE_NAMES, UNTIMED}
    assert found.iterations == 40
    paid = sum(found.phases_s[name] for name in PAYLOAD)
    assert found.overhead_s == pytest.approx(sum(found.phases_s.values()) - paid)
    assert found.training_s == sum(found.phases_s[name] for name in TRAINING_PHASES)
    assert found.bound_s == pytest.approx(sum(bound.seconds for bound in found.bounds.values()))


def test_known_phases_and_stamps_give_the_known_overhead(tmp_path):
    run_spec(SPEC, Loopback(), tmp_path / "run.h5", progress=Silent())
    log = read_log(tmp_path / "run.h5")
    seconds = np.full((40, 2, len(PHASE_NAMES)), np.nan)
    seconds[:, 0, PHASE_NAMES.index("aggregate")] = 1.0
    seconds[:, 0, PHASE_NAMES.index("gather")] = 3.0
    seconds[:, 1, PHASE_NAMES.index("gather")] = 0.5
    seconds[:, 1, PHASE_NAMES.index("pack")] = 0.25
    log = dataclasses.replace(log, seconds=seconds)
    # 4 s of phases and 0.125 s of nothing an iteration; the last block was disturbed.
    stamps = [(10, 0.0), (20, 41.25), (30, 82.5), (40, 1e3)]
    found = split(log, stamps)
    assert found.wall_s == pytest.approx(4.125)
    assert found.phases_s[UNTIMED] == pytest.approx(0.125)
    assert found.phases_s["gather"] == 3.0
    assert found.overhead_s == pytest.approx(0.25 + 0.125)


def test_a_run_of_one_flush_is_too_short():
    with pytest.raises(RunFailedError, match="too short"):
        bench_iteration(dataclasses.replace(SPEC, iterations=5), Loopback())
