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


def test_fixed_rows_overlap(workload):
    coding = {"kind": "cyclic", "load": 4, "assignment": "fixed"}
    assert workload(ranks=5, coding=coding, compute="shared").gradients == 5 + 4 - 1


def test_rules_are_of_the_cost_that_they_declare(workload):
    assert (workload().sorts, workload().pairs) == (True, False)
    nnm = workload(aggregation={"kind": "mean", "pre": ["nnm"]})
    assert (nnm.sorts, nnm.pairs) == (False, True)
    assert nnm.group("aggregate") != workload().group("aggregate")


def test_a_code_that_decodes_has_a_load_of_its_own():
    spec = {"devices": {"count": 20, "byzantine": 4}, "coding": {"kind": "draco_repetition"}}
    sizes = workload_of(spec, 3, 100, 32)
    assert sizes.load == 10
    assert sizes.group("aggregate").startswith("draco_repetition")


def test_sizes_that_make_no_run_are_refused(workload):
    with pytest.raises(SpecError, match="load"):
        workload(load=21)
