"""Baselines: reading, writing, values between sizes, and drift."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.records import Baseline, Quantity, compare_baselines, read_baseline, write_baseline
from lad_mpi.records.baseline import ALONE


def baseline_of(*quantities, ranks=2, oversubscribed=False, hosts=("a",)):
    machine = {"hosts": list(hosts), "cpu_model": "x"}
    return Baseline("2026-01-01", True, ranks, oversubscribed, machine, quantities)


def baseline(samples, *, name="gather", where="", **facts):
    return baseline_of(Quantity(name, "s", tuple(samples), 8, where), **facts)


LINE = baseline_of(
    Quantity("gather", "s", (2e-6, 4e-6, 1.0), 10),
    Quantity("gather", "s", (4e-4,) * 3, 1000),
    Quantity("copy_each", "B/s", (5e9,), 1000),
)


def test_the_median_is_no_mean_and_quartiles_are_ranks():
    first = LINE.quantities[0]
    assert first.median == 4e-6
    assert first.quartiles == (3e-6, pytest.approx(0.500002))
    assert Quantity("x", "s", (3.0, 1.0)).quartiles == (1.0, 3.0)


@pytest.mark.parametrize("samples", [(), (0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_what_is_no_measurement_is_refused(samples):
    with pytest.raises(ValueError, match="positive and finite"):
        Quantity("x", "s", samples)


def test_at_interpolates_in_logarithms_and_goes_on_beyond():
    assert LINE.at("gather", 10) == 4e-6
    assert LINE.at("gather", 100) == pytest.approx(4e-5)
    assert LINE.at("gather", 1) == 4e-6
    # A time grows with the message, a rate stays.
    assert LINE.at("gather", 5000) == pytest.approx(2e-3)
    assert LINE.at("copy_each", 1e6) == 5e9
    assert LINE.at("bcast", 10) is None


@given(st.floats(1, 1e5), st.floats(1, 1e5))
def test_more_bytes_never_take_less_time_between_rising_samples(one, other):
    small, large = sorted((one, other))
    assert LINE.at("gather", small) <= LINE.at("gather", large) * (1 + 1e-12)


def test_a_file_holds_all_samples_and_the_medians(tmp_path):
    path = tmp_path / "b.json"
    write_baseline(path, LINE)
    assert read_baseline(path) == LINE
    written = json.loads(path.read_text())["quantities"][0]
    assert written["median"] == 4e-6
    assert written["samples"] == [2e-6, 4e-6, 1.0]


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "b.json"
    write_baseline(path, LINE)
    found = json.loads(path.read_text())
    del found["ranks"]
    path.write_text(json.dumps(found))
    with pytest.raises(LogFormatError, match="damaged or incomplete: ranks: Field required"):
        read_baseline(path)


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
