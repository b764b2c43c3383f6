"""Cases and logs whose times follow a law that is known."""

import copy

import numpy as np
import pytest

from analysis.forecast.observe import MeasuredCase
from analysis.forecast.workload import TERMS, features, workload_of

SPEC = {
    "data": {"kind": "synthetic", "dimension": 1000},
    "devices": {"count": 20, "byzantine": 4},
    "coding": {"kind": "cyclic", "load": 1},
    "aggregation": {"kind": "trimmed_mean"},
}
#: Seconds of a constant and of one of each column.
LAW = {
    "compute": (1e-4, 2e-9),
    "encode": (0.0, 1e-9),
    "pack": (1e-5, 1e-9),
    "communication": (0.0, 5e-5, 3e-10),
    "unpack": (2e-5, 5e-10),
    "aggregate": (3e-4, 4e-10),
    "update": (0.0, 1e-9),
}


def _seconds(workload):
    return {term: float(np.dot(features(term, workload), LAW[term])) for term in TERMS}


@pytest.fixture
def law():
    return LAW


@pytest.fixture
def law_seconds():
    """Tell what every term takes."""
    return _seconds


@pytest.fixture
def workload():
    """Make a workload of SPEC elsewhere."""

    def make(ranks=3, load=1, dimension=1000, header_bytes=32, **changes):
        spec = copy.deepcopy(SPEC)
        spec["coding"]["load"] = load
        return workload_of({**spec, **changes}, ranks, dimension, header_bytes)

    return make


@pytest.fixture
def make_cases(workload):
    """Make launches on a grid that follow a law, each case and each launch up to some noise."""

    def make(
        generator, *, ranks=(2, 3, 5), loads=(1, 5, 10), dimensions=(1000, 10_000),
        launches=5, case_noise=0.0, launch_noise=0.0, seconds=_seconds,
    ):  # fmt: skip
        cases = []
        for size in ranks:
            for load in loads:
                for dimension in dimensions:
                    sizes = workload(size, load, dimension)
                    true = seconds(sizes)
                    shared = np.exp(case_noise * generator.normal())
                    own = np.exp(launch_noise * generator.normal(size=launches))
                    taken = [{t: s * shared * x for t, s in true.items()} for x in own]
                    cases.append(MeasuredCase("rule", sizes, tuple(taken), ()))
        return cases

    return make
