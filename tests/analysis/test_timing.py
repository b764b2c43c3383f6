"""Times of the critical path, split into parts, launch by launch."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods import group_runs
from analysis.timing import COMMUNICATION, iteration_seconds, phase_seconds, split_iterations
from lad_mpi.logs import read_log

PHASES = ["broadcast", "compute", "attack", "gather", "aggregate", "evaluate"]
NAN = np.nan


def with_attacks(*devices):
    """Make a clock of ranks that compute and attack for so long; the server waits for the last."""
    wait = max(sum(device) for device in devices)

    def clock(rows, ranks):
        assert ranks == len(devices) + 1
        server = [0.0, NAN, NAN, wait, 1.0, 9.0]
        ranks = [[0.0, compute, attack, 0.0, NAN, NAN] for compute, attack in devices]
        return np.tile([server, *ranks], (rows, 1, 1))

    return clock


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        # The rank without attacks is as slow as before: nothing was added to the wait.
        ([(10, 5), (20, 0)], 20),
        ([(10, 5), (12, 0)], 12),
        ([(10, 5), (12, 5)], 12),
        ([(10, 0), (12, 5)], 12),
        ([(10, 5)], 10),
        ([(3, 0), (20, 0), (5, 0)], 20),
    ],
)
def test_attacks_are_taken_off_the_critical_path_only(write_run, devices, expected):
    run = read_log(write_run(ranks=len(devices) + 1, phases=PHASES, clock=with_attacks(*devices)))
    np.testing.assert_allclose(iteration_seconds(run), expected + 1)
    parts = phase_seconds(run)
    assert parts["compute"] == max(compute for compute, _ in devices)
    assert parts[COMMUNICATION] == pytest.approx(0)


def test_parts_of_an_iteration_add_up_one_by_one(write_run):
    rng = np.random.default_rng(7)

    def clock(rows, ranks):
        server = rng.exponential(size=(rows, 1, len(PHASES)))
        devices = rng.exponential(size=(rows, ranks - 1, len(PHASES)))
        server[:, :, 1:3] = devices[:, :, 4:] = np.nan
        server[:, 0, 3] = np.nansum(devices[:, :, 1:3], axis=2).max(axis=1) + 0.1
        return np.concatenate([server, devices], axis=1)

    run = read_log(write_run(phases=PHASES, clock=clock))
    parts = split_iterations(run)
    total = iteration_seconds(run)[2:]
    np.testing.assert_allclose(sum(parts.values()), total)
    means = phase_seconds(run, statistic=np.mean)
    assert sum(means.values()) == pytest.approx(total.mean())
    medians = phase_seconds(run)
    assert medians[COMMUNICATION] == pytest.approx(np.median(parts[COMMUNICATION]))


def test_a_run_that_went_on_with_fewer_ranks_keeps_its_compute_time(write_run):
    """Begun on 3 ranks and resumed on 1: what one rank computes is no communication."""

    def clock(rows, ranks):
        if ranks == 1:
            return np.tile([[[0.0, 7.0, 0.0, 0.0, 1.0, 9.0]]], (rows, 1, 1))
        return with_attacks((3, 0), (4, 0))(rows, ranks)

    run = read_log(write_run(launches=[(3, 6), (1, 12)], phases=PHASES, clock=clock))
    assert [launch.ranks for launch in run.launches] == [3, 1]
    three, one = (phase_seconds(run, launch) for launch in run.launches)
    assert (three["compute"], one["compute"]) == (4.0, 7.0)
    assert three[COMMUNICATION] == one[COMMUNICATION] == 0
    ((method,), _) = group_runs([run])
    labels = {timing.conditions.ranks: timing.label for timing in method.timings}
    assert labels == {1: "LAD d=2 (ranks=1)", 3: "LAD d=2 (ranks=3)"}


def test_the_warm_up_of_every_launch_is_left_out(write_run):
    run = read_log(write_run(launches=[(3, 6), (3, 12)]))
    for launch, rows in zip(run.launches, (4, 4), strict=True):
        assert len(split_iterations(run, launch)[COMMUNICATION]) == rows
