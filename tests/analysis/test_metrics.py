"""Any metric of a log is shown and can be a target, whichever way is better."""

import json
import math

import numpy as np
import pytest

from analysis.cli import main
from analysis.metrics import best_value, choose_metrics, final_value, find_metric, metric_curve
from analysis.runs import load_collection
from analysis.summary import summarise
from analysis.target import find_target, first_step, reach
from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.logs import read_log
from lad_mpi.types import Metric

ERROR_RATE = Metric("test_error", "1", "share of the test samples classified wrongly", "lower")
NAN = math.nan


@pytest.fixture
def run(accuracies):
    return read_log(accuracies / "lad2-1.h5")


def test_curves_have_gaps_where_nothing_was_evaluated(run):
    curve = metric_curve(run, "test_accuracy")
    assert np.flatnonzero(~np.isnan(curve)).tolist() == [0, 4, 8, 12]
    np.testing.assert_allclose(curve[::4], [0.11, 0.31, 0.51, 0.66])
    assert np.isnan(metric_curve(run, "another")).all()
    # Counts are metrics, too.
    assert metric_curve(run, "messages_rejected")[:2].tolist() == [0.0, 0.0]


def test_the_final_value_is_that_of_the_final_model_or_of_the_last_evaluation(run):
    assert final_value(run, "test_accuracy") == pytest.approx(0.66)
    # The final state does not have the dispersion; every third iteration was not evaluated.
    dispersion = run.metrics["honest_dispersion"]
    assert np.isnan(dispersion[10])
    assert final_value(run, "honest_dispersion") == dispersion[11]
    assert math.isnan(final_value(run, "another"))


def test_the_best_value_is_the_largest_or_the_smallest(write_run):
    values = [0.1, NAN, 0.7, 0.9, NAN, 0.8, NAN, NAN, NAN, NAN, NAN, NAN, 0.5]
    accuracy = Metric("test_accuracy", "1", "accuracy", "higher")
    further = {accuracy: values, ERROR_RATE: values, Metric("size", "1", "size"): values}
    run = read_log(write_run(further=further))
    best = [best_value(run, run.metric_info[metric.name]) for metric in further]
    assert best[:2] == [0.9, 0.1]
    assert math.isnan(best[2])


def test_a_target_is_reached_from_the_worse_side(run):
    assert [
        first_step(run, find_target(text, [run]))
        for text in ("test_accuracy=0.1", "test_accuracy=0.4", "test_accuracy=0.9")
    ] == [0, 8, None]
    # The final model is worse than the one before, and both have reached it.
    assert first_step(run, find_target(" test_accuracy = 0.5", [run])) == 8
    assert str(find_target("test_accuracy=0.9", [run])) == "test accuracy ≥ 0.9"
    assert str(find_target("20", [run])) == "loss ≤ 20"


def test_the_direction_is_that_of_the_log(write_run):
    values = np.linspace(0.9, 0.3, 13).tolist()
    run = read_log(write_run(further={ERROR_RATE: values}))
    assert first_step(run, find_target("test_error=0.5", [run])) == 8


def test_a_metric_that_no_log_has_is_named_with_the_nearest_one(run):
    with pytest.raises(
        UsageError, match=r"'test_acuracy'; did you mean 'test_accuracy'\?"
    ) as raised:
        find_metric("test_acuracy", [run])
    assert "loss" in raised.value.hint
    with pytest.raises(UsageError, match="neither direction of 'beta_squared' is better"):
        find_target("beta_squared=1", [run])


def test_the_accuracy_is_shown_if_a_log_has_it(run, write_run):
    plain = read_log(write_run("plain.h5"))
    assert [metric.name for metric in choose_metrics([plain])] == ["loss"]
    assert [metric.name for metric in choose_metrics([plain, run])] == ["loss", "test_accuracy"]
    assert [metric.name for metric in choose_metrics([run], ["beta_squared"])] == ["beta_squared"]


def test_a_method_without_the_metric_does_not_reach_it_and_has_no_value(write_run, accuracies):
    write_run("plain.h5", name="plain", coding={"load": 9})
    collection = load_collection([accuracies])
    target = find_target("test_accuracy=0.5", collection.runs)
    methods = {method.label: method for method in collection.methods}
    assert reach(methods["plain"], target).reached == 0
    rows = summarise(collection, target, choose_metrics(collection.runs))
    (row,) = (row for row in rows if row.label == "plain")
    (found,) = row.metrics
    assert found.final is found.best is None


def test_values_are_medians_over_seeds_beside_exact_recovery(accuracies):
    collection = load_collection([accuracies])
    rows = summarise(collection, None, choose_metrics(collection.runs))
    found = {row.label: row.metrics[0] for row in rows}
    assert found["LAD d=2"].final.median == pytest.approx(0.67)
    assert found["LAD d=1"].best.median == pytest.approx(0.47)
    # Exact recovery ends at 0.9 − 0.4/10, LAD with d = 2 at 0.9 − 0.4/2, seed by seed.
    assert found["LAD d=2"].minus_exact.median == pytest.approx(-0.16)
    assert found["LAD d=10"].minus_exact.median == 0


def test_the_table_has_the_metric_and_says_which_way_is_better(accuracies, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["table", str(accuracies), "--target", "test_accuracy=0.5"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    text = " ".join(shown.split())
    assert "Test accuracy: share of the test samples classified rightly; higher is better" in text
    assert "LAD d=2 3 0.6700 (0.6600 … 0.6800) 0.6700 -0.16" in text
    assert "LAD d=10 3 0.8300 (0.8200 … 0.8400) 0.8300 0" in text
    assert "To test accuracy ≥ 0.5: until then" in text
    assert "LAD d=1 0 of 3 – – –" in text
    assert "LAD d=2 3 of 3 8.000" in text


def test_records_have_the_metrics_at_full_precision(accuracies, capsys):
    assert main(["table", str(accuracies), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    (record,) = (record for record in records if record["method"] == "LAD d=2")
    assert record["final_test_accuracy_median"] == pytest.approx(0.67, rel=1e-15)
    assert record["test_accuracy_minus_exact_median"] == pytest.approx(-0.16)
    assert main(["table", str(accuracies), "--json", "--metric", "gradient_norm"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert "final_test_accuracy_median" not in records[0]
    assert records[0]["best_gradient_norm_median"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "accuracy"], "no log has the metric 'accuracy'"),
        (["--target", "test_acc=0.9"], "did you mean 'test_accuracy'?"),
    ],
)
def test_unknown_metrics_are_refused(accuracies, capsys, arguments, message):
    assert main(["table", str(accuracies), *arguments]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
