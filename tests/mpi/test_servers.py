"""Several server ranks give the bits of one."""

import numpy as np
import pytest

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES
from lad_mpi.attacks import ATTACKS
from lad_mpi.compression import Rejection
from lad_mpi.logs import read_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import Existing, run_spec
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import open_link

pytestmark = [pytest.mark.mpi(min_size=3), pytest.mark.timeout(40)]

#: Enough columns to be shared, and samples enough that all ranks evaluate.
WIDE = {
    "iterations": 2,
    "data": {"dimension": 33_003},
    "devices": {"count": 7, "byzantine": 2},
    "coding": {"kind": "cyclic", "load": 2},
    "logging": {"flush_every": 2},
}
QSGD = {"kind": "qsgd", "levels": 5, "bucket": 4096}
VARIANTS = {
    **{kind: {"aggregation": {"kind": kind}} for kind in RULES},
    **{
        kind: {
            "aggregation": {"kind": "median", "pre": [kind]},
            "devices": {"count": 7, "byzantine": 1},
        }
        for kind in PRE_AGGREGATIONS
    },
    **{kind: {"attack": {"kind": kind}} for kind in ATTACKS},
    **{f"{kind} qsgd": {"attack": {"kind": kind}, "compression": QSGD} for kind in ATTACKS},
    "random payload": {"attack": {"kind": "random_bytes", "keep_envelope": True}},
    "draco_repetition": {"coding": {"kind": "draco_repetition"}},
    "draco_cyclic_real": {"coding": {"kind": "draco_cyclic_real"}},
    "float32": {"backend": {"dtype": "float32"}},
    "cast": {"compression": {"kind": "cast"}},
    "sign": {"compression": {"kind": "sign", "bucket": 4096, "error_feedback": True}},
    "alie sign": {"attack": {"kind": "alie"}, "compression": {"kind": "sign", "bucket": 8192}},
    "alie cast": {"attack": {"kind": "alie"}, "compression": {"kind": "cast"}},
    "adam": {
        "optimizer": {"kind": "adam", "step_size": 0.01, "weight_decay": 0.1},
        "devices": {"count": 7, "byzantine": 2, "momentum": 0.9},
    },
    "short": {"data": {"dimension": 9}},
}


@pytest.fixture
def counts(world):
    """Return the numbers of servers that leave a rank for the devices."""
    return [count for count in (1, 2, 3) if count < world.size]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_any_number_of_servers_gives_the_bits_of_one(same_bits, counts, variant):
    spec = {**WIDE, **variant}
    # Fewer servers are tried on fewer ranks.
    same_bits(parse_spec({**spec, "server": {"ranks": counts[-1]}}), parse_spec(spec))


class StopsAfter(InterruptRequest):
    def __init__(self, looks):
        self.looks = looks

    @property
    def signal_name(self):
        self.looks -= 1
        return "" if self.looks >= 0 else "SIGTERM"


STATEFUL = {
    "clipping": {"aggregation": {"kind": "centered_clipping", "threshold": 5.0}},
    "mimic": {
        "attack": {"kind": "mimic", "warmup": 4},
        "optimizer": {"kind": "adam", "step_size": 0.01},
        "devices": {"count": 7, "byzantine": 2, "momentum": 0.9},
    },
}


@pytest.mark.parametrize("variant", STATEFUL.values(), ids=STATEFUL)
def test_a_run_goes_on_with_another_number_of_servers(world, counts, tmp_path_factory, variant):
    folder, link = tmp_path_factory.mktemp("servers"), open_link()
    spec = {**WIDE, "iterations": 6, "safety": {"checkpoint_every": 1}, **variant}
    assert run_spec(parse_spec(spec), link, folder / "straight.h5").status == "complete"
    for looks, count in enumerate((counts * 3)[: 2 * len(counts)], 2):
        several = parse_spec({**spec, "server": {"ranks": count}})
        stop = StopsAfter(2) if looks < 5 else None
        outcome = run_spec(
            several, link, folder / "moved.h5", existing=Existing.RESUME, interrupt=stop
        )
        if outcome.status == "complete":
            break
    assert outcome.status == "complete"
    if link.is_server:
        moved, straight = read_log(folder / "moved.h5"), read_log(folder / "straight.h5")
        assert len({launch.provenance["server_ranks"] for launch in moved.launches}) > 1
        np.testing.assert_array_equal(moved.final.model, straight.final.model)
        for name, values in straight.metrics.items():
            np.testing.assert_array_equal(moved.metrics[name], values, err_msg=name)


def test_a_failure_ends_all_servers_in_step(world, counts, tmp_path_factory):
    folder, link = tmp_path_factory.mktemp("failure"), open_link()
    diverging = {"optimizer": {"step_size": 1e200}, "aggregation": {"kind": "mean"}}
    for count in counts:
        spec = {**WIDE, "server": {"ranks": count}}
        outcome = run_spec(parse_spec({**spec, **diverging}), link, folder / f"{count}.h5")
        assert outcome.status == "failed"
        assert "diverged" in outcome.failure
        again = run_spec(parse_spec({**spec, "iterations": 1}), link, folder / f"next{count}.h5")
        assert again.status == "complete"


def test_a_device_that_spoils_one_part_is_refused_by_all(same_bits, counts, monkeypatch):
    """It sends a good part to all servers but the last."""
    from lad_mpi.training.device import DeviceBlock

    tamper = DeviceBlock.tamper

    def spoil(self, iteration):
        tamper(self, iteration)
        rows = self._byzantine - self._first
        self._slots[rows, self._setup.messages.parts[-1].payload.start] ^= 1

    monkeypatch.setattr(DeviceBlock, "tamper", spoil)
    logs = same_bits(parse_spec({**WIDE, "server": {"ranks": counts[-1]}}))
    if logs is not None:
        refused = logs[0].refusals
        assert (refused.pop(Rejection.CHECKSUM.name.lower()) == 2).all()
        assert not any(counts.any() for counts in refused.values())
