"""What a forecast takes from logs, and what it leaves out."""

import pytest

from analysis.forecast import Question, cheapest, fit_model, observe, predict_rows
from analysis.forecast.answer import progress_to
from analysis.target import find_target, first_step
from lad_mpi.errors import UsageError
from lad_mpi.logs import read_log

# Of the log fixture: 0.1 s broadcast, 2 s compute, 0.5 s aggregate on 3 ranks, 3.6 s in all.


@pytest.fixture
def folder(write_run, tmp_path):
    """Four loads of which the time is 1 s and 0.1 s for each subset, and NNM at two."""
    for load in (1, 2, 5, 10):
        for seed in (1, 2):
            write_run(
                f"lad{load}-{seed}.h5", name=f"LAD d={load}", seed=seed, coding={"load": load},
                seconds={"compute": 0.1 * load, "gather": 0.4 + 0.1 * load},
            )  # fmt: skip
    for load in (1, 2):
        write_run(
            f"nnm{load}.h5", name="NNM", coding={"load": load},
            aggregation={"pre": [{"kind": "nnm"}]}, seconds={"aggregate": 5.0},
        )  # fmt: skip
    return tmp_path / "study"


def test_runs_become_cases_of_methods_and_seeds_their_launches(folder):
    found = observe([folder])
    assert {case.method for case in found.cases} == {"trimmed mean", "nnm + trimmed mean"}
    assert sorted(len(case.seconds) for case in found.cases) == [1, 1, 2, 2, 2, 2]
    (ten,) = (case for case in found.cases if case.workload.load == 10)
    assert ten.seconds[0]["compute"] == pytest.approx(1.0)
    assert ten.total_s == pytest.approx(0.1 + 1.4 + 0.5)
    assert sum(ten.seconds[0].values()) == pytest.approx(ten.total_s)
    # 100 bytes a message of 2 numbers of 8 bytes: the rest is its header.
    assert ten.workload.slot_bytes == 100
    assert found.largest is ten
    assert found.void == ()


def test_all_folders_are_taken_together(folder, write_run, tmp_path):
    one = write_run("other.h5", coding={"load": 3})
    elsewhere = tmp_path / "elsewhere.h5"
    one.rename(elsewhere)
    loads = {case.workload.load for case in observe([folder, elsewhere]).cases}
    assert loads == {1, 2, 3, 5, 10}


def test_too_few_cases_are_told(write_run, tmp_path):
    for load in (1, 2, 5):
        write_run(f"{load}.h5", coding={"load": load})
    with pytest.raises(UsageError, match="3 cases were measured; a forecast needs 4"):
        observe([tmp_path / "study"])


def test_runs_of_two_machines_are_not_mixed(folder, write_run):
    write_run("other.h5", provenance={"cpu_model": "another"})
    with pytest.raises(UsageError, match="different machines"):
        observe([folder])


def test_oversubscribed_cases_are_left_out_or_make_no_claim(folder, write_run, tmp_path):
    write_run("crowded.h5", ranks=5, provenance={"oversubscribed": True})
    found = observe([folder])
    assert max(case.workload.ranks for case in found.cases) == 3
    assert any("P=5" in line and "oversubscribed" in line for line in found.excluded)
    for load in (1, 2, 5, 10):
        write_run(
            f"c/{load}.h5", coding={"load": load}, provenance={"oversubscribed": True}
        )  # fmt: skip
    (reason,) = observe([tmp_path / "study" / "c"]).void
    assert "oversubscribed" in reason


def test_a_target_is_reached_where_an_evaluation_is_at_or_below_it(write_run):
    # 50, NaN, 40.5, 36.45, NaN, …: every third from the second on was not evaluated.
    run = read_log(write_run("run.h5"))
    assert first_step(run, find_target("50", [run])) == 0
    assert first_step(run, find_target("49", [run])) == 2
    # The final model has a tenth of the first loss, after 12 updates.
    assert first_step(run, find_target("5", [run])) == 12
    assert first_step(run, find_target("4.9", [run])) is None
    # Of the gradient it is 1 all along, and 0 at the end.
    assert first_step(run, find_target("gradient_norm=0.5", [run])) == 12


def test_seeds_count_once_and_all_of_them_have_to_reach_it(write_run):
    runs = [read_log(write_run(f"{s}.h5", seed=s)) for s in (1, 2)]
    runs.append(read_log(write_run("again.h5", seed=2)))
    found = progress_to(find_target("45", runs), runs)
    assert (found.seeds, found.reached) == (2, 2)
    assert (found.iterations.low, found.iterations.value, found.iterations.high) == (2, 5, 8)
    assert found.iterations.coverage is None
    found = progress_to(find_target("7", runs), runs)
    assert (found.iterations, found.reached, found.within) == (None, 1, 12)


def test_the_cheapest_is_the_first_at_the_target(folder):
    measured = observe([folder])
    model = fit_model(measured.cases)
    target = find_target("15", [run for case in measured.cases for run in case.runs])
    rows = predict_rows(measured, model, Question(), target)
    # Loss falls with the load: 200/d for the worse seed, and a tenth of it at the end.
    assert {row.method for row in rows if row.to_target_s} == {"trimmed mean", "nnm + trimmed mean"}
    ((best, near),) = cheapest(rows)
    assert best.workload.load == 10
    assert best.progress.iterations.value == 1.5
    assert best not in near


def test_more_ranks_than_devices_add_devices_and_byzantine_ones(folder):
    measured = observe([folder])
    (row,) = predict_rows(
        measured, fit_model(measured.cases), Question(ranks=(51,), loads=(5,))
    )[:1]  # fmt: skip
    assert (row.workload.devices, row.workload.byzantine, row.workload.hosted) == (50, 10, 1)
