"""A machine that changed is told from one that is only noisy."""

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.records import Baseline, Quantity, compare_baselines
from lad_mpi.records.baseline import ALONE


def baseline(samples, *, name="gather", where="", ranks=2, hosts=("a",), oversubscribed=False):
    machine = {"hosts": list(hosts), "cpu_model": "x"}
    quantity = Quantity(name, "s", tuple(samples), 8, where)
    return Baseline("now", True, ranks, oversubscribed, machine, (quantity,))


QUIET = (1.0, 1.01, 1.02, 1.03, 1.04)
SLOWER = tuple(1.3 * x for x in QUIET)


def test_a_machine_agrees_with_itself():
    assert compare_baselines(baseline(QUIET), baseline(QUIET)) == []


def test_a_change_beyond_threshold_and_spread_is_found_in_both_directions():
    (slower,) = compare_baselines(baseline(QUIET), baseline(SLOWER))
    assert slower.change == pytest.approx(0.3)
    assert str(slower) == "gather at 8 bytes changed by +30%"
    (faster,) = compare_baselines(baseline(SLOWER), baseline(QUIET))
    assert faster.change < -0.15


def test_a_change_within_the_threshold_is_none():
    assert compare_baselines(baseline(QUIET), baseline(SLOWER), threshold=0.4) == []


def test_a_change_within_the_spread_is_none():
    wide = (0.5, 1.0, 1.0, 2.0, 3.0)
    assert compare_baselines(baseline(wide), baseline([1.3 * x for x in wide])) == []


def test_one_slow_sample_is_no_drift():
    assert compare_baselines(baseline(QUIET), baseline((*QUIET[:-1], 100.0))) == []


def test_of_crowded_ranks_only_what_ran_alone_is_compared():
    crowded = baseline(SLOWER, oversubscribed=True)
    with pytest.raises(UsageError, match="no quantity in common"):
        compare_baselines(baseline(QUIET), crowded)
    alone = [
        baseline(samples, name="copy_alone", where=ALONE, oversubscribed=True)
        for samples in (QUIET, SLOWER)
    ]
    assert len(compare_baselines(*alone)) == 1


@pytest.mark.parametrize("other", [{"hosts": ("b",)}, {"ranks": 3}, {"name": "bcast"}])
def test_what_cannot_be_compared_is_refused(other):
    with pytest.raises(UsageError, match="baselines"):
        compare_baselines(baseline(QUIET), baseline(QUIET, **other))
