"""Cases whose times follow a law that is known."""

import numpy as np
import pytest

from analysis.forecast.observe import OVERHEAD, MeasuredCase, hosted_devices
from lad_mpi.network import Network

DEVICES = 20
#: Seconds of a constant and of one device on a rank, for each phase of a device.
LAW = {"compute": (2e-4, 1e-4), "encode": (0.0, 2e-5), "pack": (5e-5, 1e-5)}
SERVER = {"unpack": 3e-4, "aggregate": 1e-3, "update": 1e-5}
OVERHEAD_S = 4e-4


@pytest.fixture
def make_case():
    """Make a case of a method. Each launch is slower or faster by a factor ``exp(noise ε)``."""

    def make(
        method="rule", *, ranks=2, network=None, launches=3, noise=0.0, generator=None, scale=1.0,
        overhead=OVERHEAD_S, **changes,
    ):  # fmt: skip
        hosted = hosted_devices(DEVICES, ranks)
        work = {phase: constant + hosted * each for phase, (constant, each) in LAW.items()}
        times = {**work, **SERVER, OVERHEAD: overhead}
        normal = np.zeros(launches) if generator is None else generator.normal(size=launches)
        facts = {
            "method": method, "ranks": ranks, "devices": DEVICES, "network": network,
            "uplink_bytes": 20 * 8032.0, "downlink_bytes": 8008.0,
            "kinds": dict.fromkeys(LAW, "one"), "shared_compute": False,
            "oversubscribed": False,
            "launches": tuple(
                {phase: scale * spent * np.exp(noise * factor) for phase, spent in times.items()}
                for factor in normal
            ),
        }  # fmt: skip
        return MeasuredCase(**{**facts, **changes})

    return make


@pytest.fixture
def slow():
    """A slow network: a broadcast to 20 devices takes 5 (α + 8008/β), a gather α + 160640/β."""
    return Network(2e-3, 5e6)
