"""How messages get from GPUs to MPI is decided once, for all ranks, and by trying."""

import dataclasses
import json
from types import SimpleNamespace
from typing import ClassVar

import pytest

from lad_mpi.compression import NoCompression
from lad_mpi.doctor.gpu_probe import PROBE_TIMEOUT_S, GpuTransfers
from lad_mpi.spec import parse_spec
from lad_mpi.training import transfers
from lad_mpi.training.transfers import agree_on_transfers
from lad_mpi.transport import Loopback

DIRECT = GpuTransfers("direct", "20 GB/s", 2e10, 1e10)
CRASHED = GpuTransfers("staged", "it was killed by SIGSEGV")


class World:
    """A rank that hears what other ranks have found."""

    size = 3

    def __init__(self, *others):
        self.others = others
        self.timeout_s = 1.0
        self.patience_s = 0.0

    def set_timeout(self, timeout_s):
        self.timeout_s = timeout_s

    def gather_texts(self, text):
        self.patience_s = self.timeout_s
        return [text, *self.others]


def heard(host, found=None, gpus=("one", "two")):
    verdict = None if found is None else dataclasses.asdict(found)
    return json.dumps({"host": host, "gpus": gpus, "verdict": verdict})


def spec_on_gpu(**changes):
    backend = {"kind": "cupy", **changes.pop("backend", {})}
    return parse_spec({"backend": backend, **changes})


@dataclasses.dataclass(frozen=True)
class HostOnly:
    """A codec of another package, which knows nothing of GPUs."""

    kind: ClassVar[str] = "host_only"
    wire_code: ClassVar[int] = 210
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = True
    check = NoCompression.check
    payload_bytes = NoCompression.payload_bytes
    delta = NoCompression.delta
    encode = NoCompression.encode
    decode = NoCompression.decode


@pytest.fixture
def probed(monkeypatch):
    """Count probes, which find what ``probed.found`` says."""

    seen = SimpleNamespace(found=DIRECT, times=0)

    def probe():
        seen.times += 1
        return seen.found

    transfers._probe.cache_clear()
    monkeypatch.setattr(transfers, "probe_gpu_transfers", probe)
    monkeypatch.setattr(transfers, "local_rank", lambda: 0)
    monkeypatch.setattr(transfers.socket, "gethostname", lambda: "here")
    monkeypatch.setattr(transfers, "visible_gpus", lambda: ["one", "two"])
    yield seen
    transfers._probe.cache_clear()


@pytest.mark.parametrize(
    ("spec", "link", "kind", "why"),
    [
        (parse_spec({}), World(), "none", "host memory"),
        (spec_on_gpu(), Loopback(), "direct", "one process"),
        (spec_on_gpu(backend={"gpu_transfers": "direct"}), World(), "direct", "says so"),
        (spec_on_gpu(backend={"gpu_transfers": "staged"}), World(), "staged", "says so"),
    ],
)
def test_nothing_is_tried_where_there_is_no_choice(probed, spec, link, kind, why):
    found = agree_on_transfers(spec, link)
    assert found.kind == kind
    assert why in found.reason
    assert not probed.times


def test_a_codec_that_works_on_the_host_only_is_staged(probed):
    spec = dataclasses.replace(spec_on_gpu(), compression=HostOnly())
    found = agree_on_transfers(spec, World())
    assert found == GpuTransfers("staged", "compression 'host_only' packs on the host")
    assert not probed.times


def test_it_is_tried_once_a_process_and_all_hosts_must_agree(probed):
    # The second rank of a host has nothing to say.
    agreed = World(heard("here"), heard("there", DIRECT), heard("there"))
    assert agree_on_transfers(spec_on_gpu(), agreed) == DIRECT
    refused = World(heard("here"), heard("there", CRASHED))
    found = agree_on_transfers(spec_on_gpu(safety={"timeout_s": 7.0}), refused)
    assert found == GpuTransfers("staged", "there: it was killed by SIGSEGV")
    assert probed.times == 1


def test_ranks_of_one_host_that_see_different_gpus_cannot_be_tried(probed):
    """As with --gpus-per-task: the probe would see those of one rank only."""
    found = agree_on_transfers(spec_on_gpu(), World(heard("here", gpus=("two",))))
    assert found.kind == "staged"
    assert "here: ranks see different GPUs" in found.reason
    elsewhere = World(heard("there", DIRECT, gpus=("three",)))
    assert agree_on_transfers(spec_on_gpu(), elsewhere) == DIRECT


def test_no_gpu_in_the_probe_is_no_reason_to_hand_arrays_over(probed):
    probed.found = GpuTransfers("none", "the driver reports none")
    assert agree_on_transfers(spec_on_gpu(), World()).kind == "staged"


def test_ranks_that_wait_for_the_verdict_are_not_taken_for_lost(probed):
    world = World()
    agree_on_transfers(spec_on_gpu(safety={"timeout_s": 10.0}), world)
    assert world.patience_s > 2 * PROBE_TIMEOUT_S
    assert world.timeout_s == 10.0


def test_the_second_rank_of_a_host_waits_for_the_first(probed, monkeypatch):
    monkeypatch.setattr(transfers, "local_rank", lambda: 1)
    assert agree_on_transfers(spec_on_gpu(), World(heard("here", DIRECT))) == DIRECT
    assert not probed.times
    assert agree_on_transfers(spec_on_gpu(), World()).kind == "staged"
