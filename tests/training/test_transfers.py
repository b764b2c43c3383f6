"""How messages get from GPUs to MPI is decided once, for all ranks, and by trying."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from lad_mpi.compression import NoCompression
from lad_mpi.spec import parse_spec
from lad_mpi.training import transfers
from lad_mpi.training.transfers import agree_on_transfers
from lad_mpi.transport import Loopback
from lad_mpi.transport.gpu_probe import GpuTransfers

DIRECT = GpuTransfers("direct", "20 GB/s", 2e10, 1e10)
CRASHED = GpuTransfers("staged", "it was killed by SIGSEGV")


@dataclasses.dataclass
class World:
    """A rank that hears what ranks of other hosts have found."""

    others: tuple[str, ...] = ()
    size: int = 3

    def gather_texts(self, text):
        return [text, *self.others]


def heard(host, found):
    return f"{host} {json.dumps(dataclasses.asdict(found))}"


def spec_on_gpu(**changes):
    backend = {"kind": "cupy", **changes.pop("backend", {})}
    return parse_spec({"backend": backend, **changes})


class HostOnly:
    """A codec of another package, which knows nothing of GPUs."""

    kind = "host_only"

    def __getattr__(self, name):
        if name.endswith("on_gpu"):
            raise AttributeError(name)
        return getattr(NoCompression(), name)


@pytest.fixture
def probed(monkeypatch):
    """Count probes, which find what ``probed.found`` says."""

    seen = SimpleNamespace(found=DIRECT, timeouts_s=[])

    def probe(*, timeout_s):
        seen.timeouts_s.append(timeout_s)
        return seen.found

    transfers._probe.cache_clear()
    monkeypatch.setattr(transfers, "probe_gpu_transfers", probe)
    monkeypatch.setattr(transfers, "local_rank", lambda: 0)
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
    assert not probed.timeouts_s


def test_a_codec_that_works_on_the_host_only_is_staged(probed):
    spec = dataclasses.replace(spec_on_gpu(), compression=HostOnly())
    found = agree_on_transfers(spec, World())
    assert found == GpuTransfers("staged", "compression 'host_only' packs on the host")
    assert not probed.timeouts_s


def test_it_is_tried_once_a_process_and_all_hosts_must_agree(probed):
    # The second rank of a host has nothing to say.
    agreed = World((heard("second", DIRECT), "second "))
    assert agree_on_transfers(spec_on_gpu(), agreed) == DIRECT
    refused = World((heard("second", CRASHED), "second "))
    found = agree_on_transfers(spec_on_gpu(), refused)
    assert found == GpuTransfers("staged", "second: it was killed by SIGSEGV")
    assert len(probed.timeouts_s) == 1


def test_no_gpu_in_the_probe_is_no_reason_to_hand_arrays_over(probed):
    probed.found = GpuTransfers("none", "the driver reports none")
    assert agree_on_transfers(spec_on_gpu(), World()).kind == "staged"


def test_ranks_that_wait_for_the_verdict_are_not_taken_for_lost(probed):
    agree_on_transfers(spec_on_gpu(safety={"timeout_s": 10.0}), World())
    agree_on_transfers(spec_on_gpu(safety={"timeout_s": 0.0}), World())
    assert probed.timeouts_s == [2.5, 60.0]


def test_the_second_rank_of_a_host_waits_for_the_first(probed, monkeypatch):
    monkeypatch.setattr(transfers, "local_rank", lambda: 1)
    assert agree_on_transfers(spec_on_gpu(), World((heard("host", DIRECT),))) == DIRECT
    assert not probed.timeouts_s
