"""What devices keep between iterations, against recursions by hand."""

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.spec import parse_spec
from lad_mpi.training.clock import Clock
from lad_mpi.training.device import DeviceBlock
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback

BETA = 0.8
SPEC = {
    "data": {"kind": "synthetic_classification", "classes": 3, "dimension": 4},
    "model": {"kind": "softmax_regression", "l2": 0.1},
    "devices": {"count": 12, "byzantine": 2, "batch_size": 3, "momentum": BETA},
    "coding": {"kind": "cyclic", "load": 4},
}


class Rank:
    """All devices of a run, driven without a server."""

    def __init__(self, changes):
        backend = open_backend("numpy", "float64")
        self.setup = prepare(parse_spec({**SPEC, **changes}), Loopback(), backend)
        self.slots = self.setup.packing.new_slots(12)
        self.devices = DeviceBlock(self.setup, self.slots)
        self.clock = Clock(1, serves=True, hosts_devices=True, synchronize=lambda: None)
        self.model = np.random.default_rng(0).normal(size=self.setup.dimension)

    def encode(self, iteration):
        return self.devices.encode(self.model, iteration, self.clock)

    def gradients(self, iteration):
        """Return the coded vectors without momentum, from the gradients of the subsets."""
        setup = self.setup
        table = np.empty((12, setup.dimension))
        setup.objective.coded_gradients(
            self.model, np.arange(12)[:, None], np.ones((1, 1)), table, iteration=iteration
        )
        return setup.assignment(iteration).encode(table)

    def send(self, coded, iteration):
        """Pack messages, and return them as the server receives them."""
        setup = self.setup
        self.devices.pack(coded, iteration)
        return setup.packing.unpack(self.slots, setup.channel(iteration, 0, 12))[0].copy()


@pytest.mark.parametrize("compute", ["faithful", "shared"])
@pytest.mark.parametrize("coding", ["cyclic", "draco_cyclic"])
def test_momentum_follows_its_recursion(compute, coding):
    # The momenta of a code with two parts have two parts as well.
    load = {"load": 4} if coding == "cyclic" else {}
    rank = Rank({"compute": compute, "coding": {"kind": coding, **load}})
    momentum = np.zeros((12, rank.setup.message_dimension))
    for iteration in range(5):
        momentum = BETA * momentum + (1 - BETA) * rank.gradients(iteration)
        sent = rank.encode(iteration)
        np.testing.assert_allclose(sent, momentum, rtol=1e-10, atol=1e-12)
        # An attack changes what is sent, but not what is kept.
        sent[:] = np.nan
        rank.model -= 0.1 * momentum[:, : len(rank.model)].mean(axis=0)


def test_error_feedback_corrects_the_momentum():
    rank = Rank({"compression": {"kind": "top_k", "k": 3, "error_feedback": True}})
    byzantine = rank.setup.byzantine
    momentum = np.zeros((12, rank.setup.dimension))
    residuals = np.zeros_like(momentum)
    for iteration in range(5):
        momentum = BETA * momentum + (1 - BETA) * rank.gradients(iteration)
        corrected = momentum + residuals
        smallest = np.argsort(-np.abs(corrected), axis=1)[:, 3:]
        expected = corrected.copy()
        np.put_along_axis(expected, smallest, 0, axis=1)
        residuals = corrected - expected
        residuals[byzantine] = 0
        received = rank.send(rank.encode(iteration), iteration)
        np.testing.assert_allclose(received, expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            rank.devices.state["residuals"], residuals, rtol=1e-10, atol=1e-12
        )
        assert np.delete(residuals, byzantine, axis=0).any(axis=1).all()
        rank.model -= 0.1 * momentum.mean(axis=0)


def test_without_momentum_and_feedback_devices_keep_nothing():
    rank = Rank({"devices": {"count": 12, "byzantine": 2}})
    assert rank.devices.state == {}
    np.testing.assert_allclose(rank.encode(0), rank.gradients(0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("compute", ["faithful", "shared"])
def test_only_byzantine_devices_train_on_flipped_labels(compute):
    changes = {"compute": compute, "devices": {"count": 12, "byzantine": 2}}
    honest = Rank({**changes, "attack": {"kind": "none"}}).encode(1)
    rank = Rank({**changes, "attack": {"kind": "label_flip"}})
    flipped = rank.encode(1)
    differs = (honest != flipped).any(axis=1)
    assert np.flatnonzero(differs).tolist() == rank.setup.byzantine.tolist()
