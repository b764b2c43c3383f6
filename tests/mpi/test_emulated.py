"""Emulated networks on real ranks: same bits, and times of at least the network's."""

import pytest

from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import open_link

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(100)]

SMALL = {
    "iterations": 5,
    "data": {"dimension": 80_021},
    "devices": {"count": 13, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 4},
    "logging": {"flush_every": 3},
}
SLOW = {"network": {"emulate": {"latency": "1ms", "bandwidth": "1GB/s"}}}


def test_a_network_only_changes_times_and_no_rank_is_faster_than_it(same_bits):
    spec = parse_spec({**SMALL, **SLOW})
    logs = same_bits(spec, alone=parse_spec(SMALL))
    if logs is None:
        return
    ranks, _ = logs
    network, count = spec.network.emulate, spec.devices.count
    gather, broadcast = (
        ranks.seconds[:, :, ranks.phases.index(phase)] for phase in ("gather", "broadcast")
    )
    uplink_bytes, downlink_bytes = (
        ranks.traffic[f"{way}_bytes"][0] for way in ("uplink", "downlink")
    )
    assert (broadcast >= network.broadcast_s(downlink_bytes, count)).all()
    assert (gather >= network.gather_s(uplink_bytes)).all()


def test_a_wait_longer_than_the_timeout_is_not_taken_for_a_hang(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watchdog")
    spec = parse_spec(
        {
            "iterations": 1,
            "data": {"dimension": 9},
            "devices": {"count": 13, "byzantine": 3},
            "safety": {"timeout_s": 1.0},
            # The gather takes longer than the timeout of the watchdog.
            "network": {"emulate": {"bandwidth": "500B/s"}},
        }
    )
    link = open_link()
    assert spec.network.emulate.gather_s(13 * 104) > 2 * spec.safety.timeout_s
    outcome = run_spec(spec, link, folder / "log.h5")
    assert outcome.status == "complete"
