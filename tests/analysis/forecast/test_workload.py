"""Sizes of an iteration, as the run's own code has them."""

import numpy as np
import pytest

from analysis.forecast.workload import workload_of
from lad_mpi.coding import Cyclic
from lad_mpi.errors import SpecError
from lad_mpi.rng import Streams


def test_the_fullest_rank_counts_and_messages_have_headers(workload):
    sizes = workload(ranks=4, load=5)
    assert (sizes.hosted, sizes.gradients, sizes.hops) == (7, 35, 2)
    assert sizes.uplink_bytes == 20 * (32 + 8 * 1000)
    assert workload(ranks=1).hosted == workload(ranks=2).hosted == 20
    assert workload(compression={"kind": "rand_k", "k": 10}).slot_bytes < 200


@pytest.mark.parametrize(("load", "hosted"), [(1, 20), (5, 5), (19, 1), (20, 3)])
def test_shared_gradients_are_counted_once_on_average(workload, load, hosted):
    ranks = 1 + -(-20 // hosted)
    sizes = workload(ranks=ranks, load=load, compute="shared")
    code, streams = Cyclic(load=load), Streams(1)
    drawn = [
        len(np.unique(code.assign(20, 4, streams, t).subsets[: sizes.hosted])) for t in range(400)
    ]
    assert sizes.gradients == pytest.approx(np.mean(drawn), rel=0.02)


def test_batches_bound_the_samples_of_a_subset(workload):
    data = {"kind": "synthetic", "samples_per_subset": 12}

    def samples(**changes):
        return workload(**changes).samples

    assert (samples(), samples(data=data)) == (1, 12)
    devices = {"count": 20, "byzantine": 4, "batch_size": 5}
    assert (samples(data=data, devices=devices), samples(devices=devices)) == (5, 1)
    # Only the data say how many there are, but not more than a batch.
    assert samples(data={"kind": "diabetes"}, devices=devices) == 5


def test_vectors_are_added_after_the_gradients_only_if_shared_or_with_momentum(workload):
    devices = {"count": 20, "byzantine": 4, "momentum": 0.9}
    assert workload(load=5).encoded == 0
    assert workload(load=5, devices=devices).encoded == 1
    assert workload(load=5, compute="shared").encoded == 5
    # Their costs differ, so each has coefficients of its own.
    assert workload().group("compute") != workload(compute="shared").group("compute")


def test_fixed_rows_overlap(workload):
    coding = {"kind": "cyclic", "load": 4, "assignment": "fixed"}
    assert workload(ranks=5, coding=coding, compute="shared").gradients == 5 + 4 - 1


def test_rules_are_of_the_cost_that_they_declare(workload):
    # By coordinate a sorting network, and the products of all pairs after it or before it.
    assert workload().rule_work == pytest.approx(20 * np.log2(20) ** 2 * 1000)
    nnm = workload(aggregation={"kind": "mean", "pre": ["nnm"]})
    assert nnm.rule_work == 20**2 * 1000
    assert workload(aggregation={"kind": "trimmed_mean", "pre": ["nnm"]}).rule_work == 20**2 * 1000
    assert workload(aggregation={"kind": "mean"}).rule_work == 20 * 1000
    assert nnm.group("aggregate") != workload().group("aggregate")
    assert nnm.undeclared == ()


@pytest.mark.parametrize(("load", "expected"), [(None, 10), (9, 10), (5, 10), (20, 20)])
def test_a_code_that_decodes_has_a_load_of_its_own(load, expected):
    """Groups of DRACO are as even as possible, so that a device may compute more than asked."""
    devices = {"count": 20, "byzantine": 2 if load == 5 else 4}
    coding = {"kind": "draco_repetition"} | ({} if load is None else {"load": load})
    spec = {"devices": devices, "coding": coding, "fallback": {"kind": "krum"}}
    sizes = workload_of(spec, 3, 100, 32)
    assert sizes.load == (5 if load == 5 else expected)
    assert sizes.group("aggregate").startswith("draco_repetition")
    # The fallback is no work of a usual iteration.
    assert sizes.rule_work == 20 * 100
    assert np.isnan(sizes.scatter)


def test_groups_of_a_repetition_need_each_subset_once():
    spec = {
        "devices": {"count": 20, "byzantine": 4}, "coding": {"kind": "draco_repetition"},
        "compute": "shared",
    }  # fmt: skip
    # Two groups of ten devices: the first rank of two hosts one of them.
    assert workload_of(spec, 3, 100, 32).gradients == 10


def test_sizes_that_make_no_run_are_refused(workload):
    with pytest.raises(SpecError, match="load"):
        workload(load=21)
