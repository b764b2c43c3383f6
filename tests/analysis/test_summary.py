"""Every number of the table, on logs whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.exact import exact_reference, is_exact
from analysis.facts import gradients_per_iteration
from analysis.families import load_families
from analysis.runs import load_collection
from analysis.summary import summarise
from analysis.timing import COMMUNICATION, iteration_seconds, phase_seconds
from lad_mpi.logs import read_log
from lad_mpi.theory import honest_dispersion


def test_times_are_the_servers_and_work_is_the_slowest_ranks(write_run):
    run = read_log(write_run())
    seconds = iteration_seconds(run)
    np.testing.assert_allclose(seconds[:2], 360.0)
    # Broadcast, gather and aggregation; evaluation is no training.
    np.testing.assert_allclose(seconds[2:], 3.6)
    assert phase_seconds(run) == pytest.approx(
        {"compute": 2.0, "aggregate": 0.5, COMMUNICATION: 1.1}
    )


def test_alone_a_rank_communicates_with_itself(write_run):
    parts = phase_seconds(read_log(write_run(ranks=1)))
    assert parts == pytest.approx(
        {"broadcast": 0.1, "gather": 3.0, "aggregate": 0.5, COMMUNICATION: 0.0}
    )


def test_all_warm_up_is_better_than_nothing(write_run):
    run = read_log(write_run(iterations=2))
    assert sum(phase_seconds(run).values()) == pytest.approx(360.0)


def test_rows_hold_medians_and_ratios(study):
    rows = {row.label: row for row in summarise(load_collection([study]))}
    assert list(rows)[-1] == "LAD d=1"
    row = rows["LAD d=2"]
    (time,) = row.times
    assert (row.seeds, row.runs, time.seeds, time.launches) == (2, 2, 2, 2)
    assert time.conditions.ranks == 3
    # Final losses are 5 and 10, those of exact recovery 1 and 2.
    assert row.final_loss.median == pytest.approx(7.5)
    assert (row.final_loss.low, row.final_loss.high) == pytest.approx((5.0, 10.0))
    assert row.ratio_to_exact is not None
    assert row.ratio_to_exact.median == pytest.approx(5.0)
    assert row.reference in {"DRACO", "LAD d=10"}
    assert row.dispersion_ratio is not None
    assert row.dispersion_ratio.median == pytest.approx(1.5)
    assert time.seconds.median == time.mean_s == pytest.approx(3.6)
    assert (row.uplink_bytes, row.downlink_bytes, row.gradients) == (1000, 10, 20)
    assert rows["LAD d=10"].dispersion_ratio is None
    assert rows["Com-LAD"].uplink_bytes == 300


def test_the_ratio_is_taken_seed_by_seed(write_run, tmp_path):
    for seed, (exact, own) in enumerate([(1.0, 2.0), (100.0, 300.0), (10.0, 70.0)]):
        coding = {"load": 10}
        write_run(f"e{seed}.h5", name="exact", seed=seed, coding=coding, final_loss=exact)
        write_run(f"o{seed}.h5", name="own", seed=seed, final_loss=own)
    rows = {row.label: row for row in summarise(load_collection([tmp_path]))}
    assert rows["own"].ratio_to_exact is not None
    assert rows["own"].ratio_to_exact.median == pytest.approx(3.0)
    assert rows["exact"].ratio_to_exact is not None
    assert rows["exact"].ratio_to_exact.median == 1.0


def test_exact_recovery_is_believed_only_if_measured(write_run, tmp_path):
    write_run("lad.h5", coding={"load": 10})
    write_run("other.h5", name="other")
    methods = {method.label: method for method in load_collection([tmp_path]).methods}
    claimed = methods["LAD d=2"]
    assert is_exact(claimed)
    assert exact_reference(methods["other"], list(methods.values())) is claimed
    claimed.runs[0].metrics["aggregation_error"][0] = 1e-3
    assert not is_exact(claimed)
    assert exact_reference(methods["other"], list(methods.values())) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"step_size": 0.1}},
        {"iterations": 11},
        {"data": {"heterogeneity": 0.2}},
        {"seed": 5},
        {"backend": {"dtype": "float32"}},
        {"compression": {"kind": "rand_k", "k": 1}},
        {"coding": {"load": 9}},
        {"data_digest": "sha256:1"},
        {"packages": ["lad_mpi 0.1"]},
        {"provenance": {"git_revision": "another"}},
    ],
)
def test_exact_recovery_is_compared_under_the_same_conditions(write_run, tmp_path, changes):
    write_run("own.h5", name="own")
    write_run("exact.h5", **{"name": "exact", "coding": {"load": 10}, **changes})
    rows = {row.label: row for row in summarise(load_collection([tmp_path]))}
    assert rows["own"].ratio_to_exact is None
    assert rows["own"].reference is None


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ({"kind": "cyclic", "load": 1}, 23),
        ({"kind": "cyclic", "load": 20}, 23 * 20),
        # Groups of 11 and 12 devices, each of which computes its group's subsets.
        ({"kind": "draco_repetition"}, 11**2 + 12**2),
        ({"kind": "draco_cyclic"}, 23 * 9),
        ({"kind": "draco_cyclic_real"}, 23 * 9),
    ],
)
def test_gradients_are_the_loads_of_all_devices(coding, expected):
    spec = {"devices": {"count": 23, "byzantine": 4}, "coding": coding}
    assert gradients_per_iteration(spec) == expected


def test_an_unknown_code_has_no_count():
    assert gradients_per_iteration({"devices": {"count": 3}, "coding": {"kind": "mine"}}) is None


def test_families_differ_in_load_alone(study):
    families = load_families(load_collection([study]))
    assert [family.name for family in families] == ["nnm + trimmed mean", "trimmed mean"]
    assert [method.label for method in families[1].members] == [
        "LAD d=1",
        "LAD d=2",
        "LAD d=5",
        "LAD d=10",
    ]
    assert families[0].counts == (10, 8)
    assert families[0].law() == {
        load: honest_dispersion(1.0, num_devices=10, num_honest=8, load=load)
        for load in range(1, 10)
    }
    assert not families[0].compressed
