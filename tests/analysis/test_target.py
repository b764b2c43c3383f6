"""What it took to reach a target, from runs with known numbers."""

import json

import numpy as np
import pytest

from analysis.cli import main
from analysis.runs import load_collection
from analysis.summary import summarise
from analysis.target import (
    find_target,
    first_step,
    iterations_before,
    reach,
    seconds_before,
    time_to_reach,
    uplink_bytes_before,
)
from lad_mpi.errors import ExitCode
from lad_mpi.logs import read_log


def loss(run, value):
    return find_target(repr(float(value)), [run])


def test_what_was_spent_is_counted_up_to_an_iteration(write_run):
    run = read_log(write_run())
    # 3.6 s an iteration on the server, of which the first two are warm-up, 100 times as long.
    assert iterations_before(run).tolist() == list(range(13))
    assert seconds_before(run)[:4] == pytest.approx([0, 360, 720, 723.6])
    assert uplink_bytes_before(run).tolist() == [1000 * step for step in range(13)]


def test_the_first_evaluated_model_that_is_as_good_counts(write_run):
    run = read_log(write_run(final_loss=1.0))
    losses = run.metrics["loss"]
    assert np.isnan(losses[1])
    assert first_step(run, loss(run, 1e9)) == 0
    assert first_step(run, loss(run, losses[3])) == 3
    # Not evaluated after one iteration: the next that was is told.
    assert first_step(run, loss(run, 0.95 * losses[0])) == 2
    assert first_step(run, loss(run, 1.0)) == 12
    assert first_step(run, loss(run, 0.5)) is None


def test_all_seeds_have_to_get_there(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed, final_loss=float(seed))
    (method,) = load_collection([tmp_path]).methods
    two, one = (loss(method.runs[0], value) for value in (2.0, 1.0))
    both, one = reach(method, two), reach(method, one)
    assert (both.reached, both.seeds, both.iterations.median) == (2, 2, 12)
    assert both.uplink_bytes.median == 12_000
    assert (one.reached, one.seeds) == (1, 2)
    assert one.iterations is one.uplink_bytes is None
    (timing,) = method.timings
    spent = time_to_reach(timing, two)
    assert spent.seconds.median == pytest.approx(720 + 10 * 3.6)
    # The row explains itself: so many iterations, so long each.
    assert spent.iterations.median * spent.iteration_s.median == pytest.approx(756)
    assert time_to_reach(timing, loss(method.runs[0], 1.0)) is None


@pytest.mark.parametrize(("seeds", "launches", "certain"), [(3, 2, False), (1, 6, True)])
def test_launches_of_a_seed_are_no_seeds(write_run, tmp_path, seeds, launches, certain):
    """Three seeds launched twice are no six values: an interval of 97 % covered 75 %."""
    for seed in range(seeds):
        for launch in range(launches):
            write_run(f"{seed}-{launch}.h5", seed=seed, seconds={"gather": 1 + seed + launch})
    collection = load_collection([tmp_path])
    (row,) = summarise(collection, find_target("1e9", collection.runs))
    (time,) = row.times
    target = find_target("10", collection.runs)
    spent = time_to_reach(collection.methods[0].timings[0], target)
    assert row.to_target.iterations.count == seeds
    assert (spent.seconds.coverage is not None) == certain
    assert (time.seconds.coverage is not None) == certain
    assert time.launches == seeds * launches


def test_time_to_a_loss_is_of_runs_that_kept_their_conditions(write_run, tmp_path):
    write_run("a.h5", launches=[(3, 6), (1, 12)])
    write_run("b.h5", seed=2)
    collection = load_collection([tmp_path])
    (row,) = summarise(collection, find_target("1e9", collection.runs))
    times = {time.conditions.ranks: time.to_target for time in row.times}
    assert row.to_target.seeds == 2
    assert times[1] is None
    assert times[3].seeds == 1


def test_the_table_tells_the_cost_of_a_loss_where_it_is_asked(write_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = write_run(network={"emulate": {"latency": "1ms"}}, final_loss=1.0)
    assert main(["table", str(path), "--target", "1"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "To loss ≤ 1: until then" in shown
    assert "1 of 1" in shown
    assert "756‡" in shown
    assert main(["table", str(path)]) == 0
    assert "To loss" not in capsys.readouterr().out


def test_records_have_it_at_full_precision(write_run, capsys):
    path = write_run(final_loss=1.0)
    assert main(["table", "--json", "--target", "1e-3", str(path)]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert (record["target_metric"], record["target_value"]) == ("loss", 1e-3)
    assert record["target_reached"] == 0
    assert record["target_s_median"] is None
    collection = load_collection([path])
    (row,) = summarise(collection, find_target("1", collection.runs))
    assert row.to_target.iterations.median == 12


@pytest.mark.parametrize("text", ["nan", "inf", "loss", "loss=", "loss=a"])
def test_a_target_that_is_no_number_is_refused(write_run, capsys, text):
    assert main(["table", str(write_run()), "--target", text]) == ExitCode.USAGE
    assert f"--target {text}: expected a finite number" in capsys.readouterr().err
