"""A continued log keeps the records and the launches of the earlier log."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest

from lad_mpi.errors import LogFormatError
from lad_mpi.logs import Axes, Continuation, LogWriter, RunHeader, read_log, validate_log
from lad_mpi.logs import carry as carry_module

PHASES = ("broadcast", "compute", "evaluate")


@pytest.fixture
def go_on(block):
    def write(path, rows, *, ranks=3, phases=PHASES, host="node3"):
        header = RunHeader(
            ["LAD d=2"],
            "seed = 1\niterations = 5\n",
            "f00d",
            "",
            ["lad_mpi 0.2.0"],
            {"hosts": [host], "cores": 2},
        )
        with LogWriter(
            path,
            header=header,
            axes=Axes(ranks, phases, phases[:2], 1),
            dimension=4,
            dtype=np.dtype("float64"),
            continuation=Continuation(rows),
        ) as writer:
            one = block(rows, 2)
            wide = np.concatenate([one.seconds, one.seconds], axis=1)
            writer.append(dataclasses.replace(one, seconds=wide[:, :ranks]))
            writer.finish("interrupted")

    return write


@pytest.fixture
def interrupted(tmp_path, open_writer, block):
    path = tmp_path / "run.h5"
    with open_writer(path) as writer:
        writer.append(block(0, 4))
        writer.finish("interrupted")
    return path


def test_rows_before_the_restart_are_kept_and_later_rows_are_dropped(interrupted, block, go_on):
    before = read_log(interrupted)
    go_on(interrupted, 3)
    log = read_log(interrupted)
    assert validate_log(interrupted) == []
    assert (log.uuid, log.restarts) == (before.uuid, (3,))
    np.testing.assert_array_equal(log.iteration, np.arange(5))
    expected = [block(0, 4), block(3, 2)]
    for name, values in log.metrics.items():
        np.testing.assert_array_equal(values[:3], expected[0].metrics[name][:3])
        np.testing.assert_array_equal(values[3:], expected[1].metrics[name])
    np.testing.assert_array_equal(log.seconds[:3], expected[0].seconds[:3])
    np.testing.assert_array_equal(log.seconds[3:], expected[1].seconds)
    refusals = np.stack(list(log.refusals.values()), axis=1)
    np.testing.assert_array_equal(refusals[3:], expected[1].refusals)


def test_rows_are_copied_in_pieces(interrupted, go_on, monkeypatch):
    before = read_log(interrupted)
    monkeypatch.setattr(carry_module, "_ROWS_AT_ONCE", 3)
    go_on(interrupted, 4)
    log = read_log(interrupted)
    np.testing.assert_array_equal(log.metrics["loss"][:4], before.metrics["loss"])
    np.testing.assert_array_equal(log.seconds[:4], before.seconds)


@pytest.mark.parametrize("ranks", [1, 5])
def test_a_run_may_go_on_with_another_number_of_ranks(interrupted, go_on, ranks):
    go_on(interrupted, 3, ranks=ranks)
    log = read_log(interrupted)
    assert validate_log(interrupted) == []
    assert log.ranks == max(3, ranks)
    assert np.isnan(log.seconds[3:, ranks:]).all()
    assert np.isnan(log.seconds[:3, 3:]).all()
    assert np.isfinite(log.seconds[:, 0, 0]).all()
    assert np.isfinite(log.training_seconds()).all()


def test_how_every_launch_was_made_is_kept(interrupted, go_on):
    go_on(interrupted, 3, host="second")
    go_on(interrupted, 4, host="third")
    log = read_log(interrupted)
    assert log.restarts == (3, 4)
    assert log.provenance["hosts"] == ["third"]
    with h5py.File(interrupted) as file:
        launches = file["provenance"]
        hosts = [list(launches[f"launch_{number}"].attrs["hosts"]) for number in range(2)]
        assert hosts == [["node1", "node2"], ["second"]]
        assert list(launches["launch_0"].attrs["modules"]) == []


def test_launches_without_remaining_iterations_are_no_restarts(interrupted, go_on):
    go_on(interrupted, 4)
    go_on(interrupted, 3)
    go_on(interrupted, 3)
    log = read_log(interrupted)
    assert [(launch.first, launch.stop) for launch in log.launches] == [
        (0, 3),
        (3, 3),
        (3, 3),
        (3, 5),
    ]
    assert log.restarts == (3,)
    assert validate_log(interrupted) == []


def test_a_launch_has_its_own_ranks(interrupted, go_on):
    go_on(interrupted, 3, ranks=1)
    log = read_log(interrupted)
    assert [launch.ranks for launch in log.launches] == [3, 1]


def test_the_warm_up_of_every_launch_is_marked(interrupted, go_on):
    go_on(interrupted, 3)
    np.testing.assert_array_equal(read_log(interrupted).is_warm(), [False, True, True, False, True])


def test_other_phases_cannot_be_continued(interrupted, go_on):
    before = interrupted.read_bytes()
    with pytest.raises(LogFormatError, match="has the phases broadcast, compute, evaluate"):
        go_on(interrupted, 3, phases=("broadcast", "compute", "other"))
    assert interrupted.read_bytes() == before
    assert list(interrupted.parent.iterdir()) == [interrupted]


def test_missing_rows_cannot_be_kept(interrupted, go_on):
    before = interrupted.read_bytes()
    with pytest.raises(LogFormatError, match=r"shape \(4,\); expected 5 iterations"):
        go_on(interrupted, 5)
    assert interrupted.read_bytes() == before
