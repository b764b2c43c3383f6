"""The metrics that rules report to the server."""

import math

import numpy as np
import pytest

from lad_mpi.arrays import open_backend
from lad_mpi.coding import DecodeStatus
from lad_mpi.spec import parse_spec
from lad_mpi.training.server import Server
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback

SMALL = {"data": {"dimension": 4}, "devices": {"count": 12, "byzantine": 2}}


@pytest.fixture
def server():
    def start(**changes):
        backend = open_backend("numpy", "float64")
        return Server(prepare(parse_spec({**SMALL, **changes}), Loopback(), backend))

    return start


MESSAGES = np.random.default_rng(0).normal(size=(12, 4))


def test_reports_of_a_rule_are_kept_by_name(server):
    median = server(aggregation={"kind": "geometric_median"})
    assert [metric.name for metric in median.metrics] == ["rule_iterations", "rule_residual"]
    assert all(map(math.isnan, median.reported.values()))
    median.aggregate(MESSAGES, 0)
    assert median.reported["rule_iterations"] >= 1
    assert 0 < median.reported["rule_residual"] <= 1e-8


def test_reports_of_a_stateful_rule_are_kept_by_name(server):
    clipping = server(aggregation={"kind": "centered_clipping", "threshold": 1e-3})
    for iteration in range(2):
        clipping.aggregate(MESSAGES, iteration)
        assert clipping.reported == {"rule_clipped": 12.0}
    assert "rule/state" in clipping.state


def test_most_rules_report_nothing(server):
    median = server(aggregation={"kind": "median"})
    median.aggregate(MESSAGES, 0)
    assert median.metrics == ()
    assert median.reported == {}


def test_a_fallback_reports_only_the_iterations_in_which_it_is_used(server):
    code = {"kind": "draco_repetition"}
    draco = server(coding=code, fallback={"kind": "geometric_median"})
    draco.aggregate(MESSAGES, 0)
    assert draco.decoder_status != DecodeStatus.EXACT
    assert draco.reported["rule_residual"] <= 1e-8
    draco.aggregate(np.ones((12, 4)), 1)
    assert draco.decoder_status == DecodeStatus.EXACT
    assert set(draco.reported) == {"rule_iterations", "rule_residual"}
    assert all(map(math.isnan, draco.reported.values()))
