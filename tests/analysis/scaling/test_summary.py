"""Times, speed-up and the critical path of studies with known numbers."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom

from analysis.scaling import load_scaling, summarise_scaling
from analysis.scaling.summary import gain, ratio
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, Estimate, least_count
from analysis.timing import critical_path
from lad_mpi.errors import UsageError
from lad_mpi.logs import read_log


def rows_of(folder):
    return {row.name: row for row in summarise_scaling(load_scaling(folder))}


def test_the_critical_path_is_slowest_device_rank_messages_and_server(write_run):
    # The server: 0.1 s broadcast, 3 s gather, 0.5 s aggregation; device rank r computes r s.
    path = critical_path(read_log(write_run(ranks=3)))
    assert path.total_s == pytest.approx(3.6)
    assert (path.device_s, path.server_s) == (2.0, 0.5)
    assert path.load_balance == pytest.approx(0.75)
    assert path.communication_efficiency == pytest.approx(2.5 / 3.6)
    assert (path.rank, path.rank_share) == (2, 1.0)
    assert (path.phase, path.phase_rank) == ("compute", "2")
    assert path.phase_share == pytest.approx(2.0 / 3.6)


def test_even_ranks_are_balanced_and_messages_may_be_critical(write_run):
    run = read_log(write_run(ranks=3))
    run.seconds[:, 1:, run.phases.index("compute")] = 0.25
    path = critical_path(run)
    assert path.load_balance == 1.0
    assert (path.phase, path.phase_rank) == ("communication", "all")
    assert path.communication_efficiency == pytest.approx(0.75 / 3.6)


def test_the_slowest_rank_may_change_from_one_iteration_to_the_next(write_run):
    run = read_log(write_run(ranks=3))
    run.seconds[2::4, 1, run.phases.index("compute")] = 2.5
    path = critical_path(run)
    assert path.rank == 2
    assert path.rank_share == pytest.approx(0.7)


def test_speedups_are_relative_to_the_fewest_ranks(write_study, monkeypatch):
    folder = write_study()
    study = load_scaling(folder)
    for case in study.cases:
        for run in case.runs:
            run.seconds[:] /= case.case.ranks
    rows = {row.name: row for row in summarise_scaling(study)}
    for found in (rows["p2"].speedup, rows["p2"].efficiency):
        assert found.low == found.median == found.high == 1.0
    assert {row.base for row in rows.values()} == {"p2"}
    # Four device ranks instead of one.
    assert rows["p5"].speedup.median == pytest.approx(5 / 2)
    assert rows["p5"].efficiency.median == pytest.approx(5 / 2 / 4)


def test_weak_efficiency_is_time_over_time(write_study):
    rows = rows_of(write_study(kind="weak"))
    assert rows["p5"].speedup is None
    assert rows["p5"].efficiency.median == pytest.approx(1.0)


def test_void_launches_are_left_out_and_told(write_study):
    study = load_scaling(write_study(void={"p3-1.h5"}))
    (row,) = (row for row in summarise_scaling(study) if row.name == "p3")
    assert (row.launches, row.void) == (1, 1)
    assert [line for case in study.cases for line in case.void] == ["p3-1.h5: its loss differs"]


def test_a_study_without_times_that_count_is_refused(write_study):
    folder = write_study(ranks=(2,), void={"p2-1.h5", "p2-2.h5"})
    with pytest.raises(UsageError, match="all launches are void"):
        load_scaling(folder)


@pytest.mark.parametrize("changes", [{"study_void": ["drifted"]}, {"planned": 3}])
def test_a_void_or_unfinished_study_makes_no_claim_and_shows_its_times(write_study, changes):
    folder = write_study(**changes)
    assert load_scaling(folder).void
    for row in rows_of(folder).values():
        assert (row.speedup, row.efficiency) == (None, None)
        assert row.seconds.median == pytest.approx(3.6)


def test_oversubscribed_cases_make_no_claim(write_study):
    rows = rows_of(write_study(provenance={"oversubscribed": True}))
    assert all(row.oversubscribed and row.efficiency is None for row in rows.values())


def test_phases_stand_beside_the_bounds_of_the_same_ranks(write_study):
    (row, *_) = rows_of(write_study()).values()
    phases = {phase.name: phase for phase in row.phases}
    assert phases["communication"].bound_s == pytest.approx(2e-2)
    assert phases["communication"].percent == pytest.approx(100 * 0.02 / 2.1)
    assert phases["compute"].seconds.median == 1.0
    assert phases["aggregate"].percent < 1


@pytest.mark.parametrize("changes", [{"baseline": False}, {"crowded": True}])
def test_without_a_baseline_that_counts_there_are_no_bounds(write_study, changes):
    (row, *_) = rows_of(write_study(**changes)).values()
    assert {phase.bound_s for phase in row.phases} == {None}


def test_a_ratio_has_the_widest_interval_and_the_coverage_of_both():
    found = ratio(Estimate(6.0, 5.0, 7.0, 6, 0.97), Estimate(2.0, 1.0, 4.0, 7, 0.98))
    assert found == Estimate(3.0, 5 / 4, 7.0, 6, pytest.approx(0.95))
    assert ratio(found, dataclasses.replace(found, coverage=None)).coverage is None


def test_launches_are_the_replicates_whatever_the_number_of_iterations(write_study):
    study = load_scaling(write_study(ranks=(2,), launches=7))
    for factor, run in enumerate(study.cases[0].runs, start=1):
        run.seconds[:] *= factor
    (row,) = summarise_scaling(study)
    assert row.seconds.count == 7
    assert row.seconds.median == pytest.approx(4 * 3.6)
    assert row.seconds.coverage >= 0.95
    assert np.isclose([row.seconds.low, row.seconds.high], [3.6, 7 * 3.6]).all()


@pytest.mark.parametrize("launches", [2, 5, 6, 7, 9, 12, 25])
def test_a_speedup_covers_what_it_states_or_states_nothing(launches):
    """Times are lognormal about known medians, whose ratio is 2."""
    generator = np.random.default_rng(launches)
    studies, held, stated = 2000, 0, set()
    for _ in range(studies):
        base = np.exp(0.1 * generator.normal(size=launches))
        # Launches of another case scatter more, or hardly.
        other = 0.5 * np.exp(generator.choice([0.3, 1e-3]) * generator.normal(size=launches))
        found = gain(base.tolist(), other.tolist())
        stated.add(found.coverage)
        held += found.low <= 2.0 <= found.high
    (coverage,) = stated
    if launches < least_count(EACH_OF_TWO):
        assert coverage is None
        return
    assert coverage >= CONFIDENCE
    assert studies - held <= binom.ppf(1 - 1e-9, studies, 1 - coverage)


def test_six_launches_have_an_interval_of_time_and_none_of_the_ratio(write_study):
    for row in rows_of(write_study(launches=6)).values():
        assert row.seconds.coverage >= CONFIDENCE
        assert row.efficiency.coverage is None
        assert row.speedup.coverage is None
