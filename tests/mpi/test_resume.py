"""A run may continue on another number of ranks: the bits are those of one straight run."""

import numpy as np
import pytest

from lad_mpi.logs import read_log, validate_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import Existing, run_spec
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback, open_link

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(100)]

TRAINING = {
    "iterations": 14,
    "data": {"kind": "synthetic_classification", "classes": 3, "dimension": 5},
    "devices": {"count": 13, "byzantine": 3, "batch_size": 6, "momentum": 0.9},
    "coding": {"kind": "cyclic", "load": 4},
    "compression": {"kind": "top_k", "k": 4, "error_feedback": True},
    "logging": {"flush_every": 3, "evaluate_every": 2},
    # The watchdog ends a job whose ranks wait for each other.
    "safety": {"timeout_s": 20.0},
}
SPECS = {
    "softmax": {
        "model": {"kind": "softmax_regression", "l2": 1e-3},
        "optimizer": {"kind": "adam", "step_size": 0.05, "schedule": "cosine"},
        "attack": {"kind": "mimic", "warmup": 10},
        "aggregation": {"kind": "centered_clipping"},
    },
    "mlp": {
        "model": {"kind": "mlp", "hidden": [4]},
        "optimizer": {"kind": "momentum", "step_size": 0.05, "nesterov": True},
        "attack": {"kind": "label_flip"},
        "backend": {"dtype": "float32"},
    },
}


class StopsAfter(InterruptRequest):
    """Asks the run to stop after a number of iterations."""

    def __init__(self, iterations):
        self.left = iterations

    @property
    def signal_name(self):
        self.left -= 1
        return "" if self.left >= 0 else "SIGTERM"


@pytest.mark.usefixtures("evaluated_together")
@pytest.mark.parametrize("all_ranks_first", [True, False])
@pytest.mark.parametrize("changes", SPECS.values(), ids=SPECS)
def test_a_run_continues_on_another_number_of_ranks(world, tmp_path, changes, all_ranks_first):
    spec, path = parse_spec({**TRAINING, **changes}), tmp_path / "run.h5"

    def launch(*, on_all, iterations):
        if not on_all and world.rank:
            return
        link = open_link() if on_all else Loopback()
        interrupt = StopsAfter(iterations)
        outcome = run_spec(spec, link, path, existing=Existing.RESUME, interrupt=interrupt)
        expected = "interrupted" if iterations < spec.iterations else "complete"
        assert outcome.status == expected, outcome.failure

    launch(on_all=all_ranks_first, iterations=4)
    launch(on_all=not all_ranks_first, iterations=5)
    launch(on_all=all_ranks_first, iterations=spec.iterations)
    if world.rank:
        return
    assert validate_log(path) == []
    run_spec(spec, Loopback(), tmp_path / "straight.h5")
    resumed, straight = read_log(path), read_log(tmp_path / "straight.h5")
    assert resumed.restarts == (4, 9)
    for name, values in straight.metrics.items():
        np.testing.assert_array_equal(resumed.metrics[name], values, err_msg=name)
    assert resumed.final.model.tobytes() == straight.final.model.tobytes()
    np.testing.assert_equal(resumed.final.metrics, straight.final.metrics)
