"""What it took to reach a loss, from runs with known numbers."""

import json

import numpy as np
import pytest

from analysis.cli import main
from analysis.runs import load_collection
from analysis.spent import iterations_before, seconds_before, uplink_bytes_before
from analysis.summary import summarise
from analysis.target import first_step, reach
from lad_mpi.logs import read_log


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
    assert first_step(run, np.inf) == 0
    assert first_step(run, losses[3]) == 3
    # Not evaluated after one iteration: the next that was is told.
    assert first_step(run, 0.95 * losses[0]) == 2
    assert first_step(run, 1.0) == 12
    assert first_step(run, 0.5) is None


def test_all_runs_have_to_get_there(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed, final_loss=float(seed))
    (method,) = load_collection([tmp_path]).methods
    both, one = reach(method.runs, 2.0), reach(method.runs, 1.0)
    assert (both.reached, both.launches, both.iterations.median) == (2, 2, 12)
    assert both.uplink_bytes.median == 12_000
    assert both.seconds.median == pytest.approx(720 + 10 * 3.6)
    assert (one.reached, one.launches) == (1, 2)
    assert one.iterations is one.seconds is one.uplink_bytes is None


def test_the_table_tells_the_cost_of_a_loss_where_it_is_asked(write_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = write_run(network={"emulate": {"latency": "1ms"}}, final_loss=1.0)
    assert main(["table", str(path), "--target", "1"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "To a loss of 1.000" in shown
    assert "1 of 1" in shown
    assert "756‡" in shown
    assert main(["table", str(path)]) == 0
    assert "To a loss" not in capsys.readouterr().out


def test_records_have_it_at_full_precision(write_run, capsys):
    path = write_run(final_loss=1.0)
    assert main(["table", "--json", "--target", "1e-3", str(path)]) == 0
    (record,) = json.loads(capsys.readouterr().out)["records"]
    assert (record["target_loss"], record["target_reached"]) == (1e-3, 0)
    assert record["target_s_median"] is None
    (row,) = summarise(load_collection([path]), 1.0)
    assert row.to_target.iterations.median == 12
