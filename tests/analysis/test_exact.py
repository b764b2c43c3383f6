"""Exact recovery is believed if the components promise it and the logs show it."""

from __future__ import annotations

import pytest

from analysis.exact import is_exact
from analysis.runs import load_collection


def batches(write_run, file="run.h5", **changes):
    """Write a run whose aggregation error has the noise of batches in it."""
    given = {"coding": {"load": 10}, "devices": {"batch_size": 4}, **changes}
    (method,) = load_collection([write_run(file, **given)]).methods
    method.runs[0].metrics["aggregation_error"][:] = 0.1
    return method


def test_with_batches_equal_messages_and_a_robust_rule_are_exact(write_run):
    method = batches(write_run)
    assert is_exact(method)
    # Without batches, only the error counts.
    assert not is_exact(batches(write_run, "whole.h5", devices={}))
    method.runs[0].metrics["honest_dispersion"][0] = 1e-6
    assert not is_exact(method)


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregation": {"kind": "mean", "pre": []}},
        {"aggregation": {"kind": "trimmed_mean", "pre": ["clip"]}},
        # Its κ is proven for other parameters.
        {"aggregation": {"kind": "krum", "pre": []}},
        {"aggregation": {"kind": "from another package", "pre": []}},
        {"coding": {"load": 9}},
    ],
)
def test_with_batches_a_rule_without_a_proof_is_not_believed(write_run, changes):
    method = batches(write_run, **changes)
    method.runs[0].metrics["honest_dispersion"][:] = 0.0
    assert not is_exact(method)
