"""A launch counts only if it computed what one process computes."""

import dataclasses

import h5py
import pytest

from lad_mpi.measure.scale import difference
from lad_mpi.spec import parse_spec
from lad_mpi.training import Existing, run_spec
from lad_mpi.transport import Loopback

SPEC = parse_spec(
    {
        "iterations": 6,
        "data": {"kind": "synthetic", "dimension": 4},
        "devices": {"count": 5, "byzantine": 1},
        "coding": {"kind": "cyclic", "load": 2},
    }
)


class Silent:
    def note(self, text):
        pass

    def update(self, iteration, iterations, loss):
        pass


def run(path, spec=SPEC):
    outcome = run_spec(spec, Loopback(), path, progress=Silent(), existing=Existing.REPLACE)
    assert outcome.status == "complete"
    return path


@pytest.fixture
def logs(tmp_path):
    return run(tmp_path / "log.h5"), run(tmp_path / "reference.h5")


def change(path, dataset, row, value):
    with h5py.File(path, "r+") as file:
        file[dataset][row] = value


def test_equal_runs_do_not_differ(logs):
    assert difference(*logs, 1) == ""


def test_the_last_bit_counts_unless_a_tolerance_is_given(logs):
    log, reference = logs
    with h5py.File(log) as file:
        loss = float(file["metrics/loss"][3])
    change(log, "metrics/loss", 3, loss * (1 + 2**-52))
    assert difference(log, reference, 1).startswith(
        "loss differs from the one-process run from iteration 3 on"
    )
    assert difference(log, reference, 1, tolerance=1e-12) == ""
    change(log, "metrics/loss", 3, loss * 1.1)
    assert "loss differs" in difference(log, reference, 1, tolerance=1e-12)


def test_the_final_model_counts(logs):
    log, reference = logs
    change(log, "state/model", 0, 7.0)
    assert "final model differs" in difference(log, reference, 1)


def test_another_number_of_ranks_or_another_spec_is_told(logs, tmp_path):
    assert "1 ranks instead of 3" in difference(*logs, 3)
    other = run(tmp_path / "other.h5", dataclasses.replace(SPEC, seed=2))
    assert "its spec differs" in difference(other, logs[1], 1)


def test_what_is_not_there_or_did_not_end_is_told(logs, tmp_path):
    log, reference = logs
    assert "cannot be read" in difference(tmp_path / "none.h5", reference, 1)
    with h5py.File(log, "r+") as file:
        file.attrs["status"] = "interrupted"
    assert "it is interrupted" in difference(log, reference, 1)
    assert "the reference run is interrupted" in difference(reference, log, 1)
