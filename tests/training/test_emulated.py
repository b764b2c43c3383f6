"""Runs on an emulated network have the same bits, and times of at least the network's."""

import numpy as np
import pytest

from lad_mpi.logs import read_log, validate_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback

SMALL = {
    "iterations": 4,
    "data": {"dimension": 30_011},
    "devices": {"count": 21, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 2},
    "logging": {"flush_every": 3, "swmr": False},
}
SLOW = {"network": {"emulate": {"latency": "200us", "bandwidth": "2GB/s"}}}


@pytest.fixture
def run(tmp_path):
    def start(mapping):
        path = tmp_path / f"{len(list(tmp_path.glob('*.h5')))}.h5"
        outcome = run_spec(parse_spec(mapping), Loopback(), path)
        assert outcome.status == "complete"
        assert validate_log(path) == []
        return read_log(path)

    return start


VARIANTS = {
    "plain": {},
    "rand_k": {"compression": {"kind": "rand_k", "k": 300}},
    "alie": {"attack": {"kind": "alie"}},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_network_changes_times_and_nothing_else(run, variant):
    real, slow = run({**SMALL, **variant}), run({**SMALL, **variant, **SLOW})
    assert slow.identity != real.identity
    for name, values in real.metrics.items():
        np.testing.assert_array_equal(slow.metrics[name], values, err_msg=name)
    np.testing.assert_array_equal(slow.final.model, real.final.model)
    for name, values in real.traffic.items():
        np.testing.assert_array_equal(slow.traffic[name], values, err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_no_phase_is_shorter_than_on_the_emulated_network(run, variant):
    spec = parse_spec({**SMALL, **variant, **SLOW})
    network = spec.network.emulate
    log = run({**SMALL, **variant, **SLOW})
    server = dict(zip(log.phases, log.seconds[:, 0].T, strict=True))
    uplink_bytes, downlink_bytes = (
        log.traffic[f"{way}_bytes"][0] for way in ("uplink", "downlink")
    )
    assert (server["broadcast"] >= network.broadcast_s(downlink_bytes, 21)).all()
    assert (server["gather"] >= network.gather_s(uplink_bytes)).all()


def test_a_log_says_that_its_network_was_emulated_and_how(run):
    real, slow = run({**SMALL, "iterations": 1}), run({**SMALL, **SLOW, "iterations": 1})
    assert slow.emulated_network == "latency=200us,bandwidth=2GB/s"
    assert slow.provenance["emulated_network"] == slow.emulated_network
    assert real.emulated_network == ""
    assert "emulated_network" not in real.provenance
