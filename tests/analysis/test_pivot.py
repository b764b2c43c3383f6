"""Pivot tables: keys, quantities, cells and formats."""

import csv
import io
import json
import math

import numpy as np
import pytest

from analysis.cli import main
from analysis.keys import KeyTable
from analysis.pivot import Reduction, pivot
from analysis.quantities import parse_quantity
from analysis.runs import load_collection
from analysis.statistics import estimate
from lad_mpi.errors import UsageError
from lad_mpi.spec import parse_where

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def attacked(write_shared):
    """Two loads, three attacks and two step sizes with three seeds each, with known losses."""
    attacks = [{"kind": "ipm", "tau": 0.5}, {"kind": "ipm", "tau": 2.0}, {"kind": "zero"}]
    for seed in SEEDS:
        for load in (1, 2):
            for harm, attack in enumerate(attacks):
                for step in (0.1, 0.2):
                    path = write_shared(
                        f"{load}-{harm}-{step}-{seed}.h5",
                        seed=seed,
                        coding={"load": load},
                        attack=attack,
                        optimizer={"step_size": step},
                        final_loss=100.0 / load + 10 * harm + seed + 50 * step * (harm == 2),
                    )
    return load_collection([path.parent]).runs


def medians(found):
    return {(*row, *column): cell.median for (row, column), cell in found.cells.items()}


def test_a_cell_is_the_median_over_seeds_with_its_interval(attacked):
    loss = parse_quantity("loss", attacked)
    found = pivot(attacked, loss, rows=["attack", "optimizer.step_size"], columns=["coding.load"])
    assert found.column_labels == (("1",), ("2",))
    assert found.row_labels == (
        ("ipm (tau=0.5)", "0.1"),
        ("ipm (tau=0.5)", "0.2"),
        ("ipm (tau=2)", "0.1"),
        ("ipm (tau=2)", "0.2"),
        ("zero", "0.1"),
        ("zero", "0.2"),
    )
    cell = found.cells[("zero", "0.2"), ("2",)]
    assert cell.estimate == estimate([50 + 20 + seed + 10 for seed in SEEDS])
    assert {run.spec["seed"] for run in cell.runs} == set(SEEDS)


def test_the_worst_case_over_attacks(attacked):
    loss = parse_quantity("loss", attacked)
    worst = Reduction(worst="attack")
    chosen = [run for run in attacked if run.spec["optimizer"]["step_size"] == 0.1]
    found = pivot(chosen, loss, rows=["coding.load"], reduction=worst)
    assert medians(found) == {("1",): 100 + 20 + 2 + 5, ("2",): 50 + 20 + 2 + 5}
    assert {cell.worst for cell in found.cells.values()} == {"zero"}
    assert {cell.candidates for cell in found.cells.values()} == {3}


def test_tuning_takes_the_best_by_its_worst_case(attacked):
    """The larger step is worse under one attack only, and equal under the others."""
    loss = parse_quantity("loss", attacked)
    tuned = Reduction("attack", "optimizer.step_size", loss)
    found = pivot(attacked, loss, rows=["coding.load"], reduction=tuned)
    assert {cell.best for cell in found.cells.values()} == {"step_size=0.1"}
    assert medians(found) == {("1",): 127, ("2",): 77}
    assert "optimizer.step_size is chosen in each cell by loss." in found.notes


def test_tuning_by_another_quantity(attacked):
    """The choice may be by one quantity, and the report of another."""
    loss = parse_quantity("loss", attacked)
    seconds = parse_quantity("iteration_s", attacked)
    tuned = Reduction("attack", "optimizer.step_size", loss)
    found = pivot(attacked, seconds, rows=["coding.load"], reduction=tuned)
    assert {cell.best for cell in found.cells.values()} == {"step_size=0.1"}


def test_runs_of_a_cell_must_not_differ(attacked):
    loss = parse_quantity("loss", attacked)
    with pytest.raises(UsageError, match=r"runs of one cell differ in attack.kind, attack.tau"):
        pivot(attacked, loss, rows=["coding.load", "optimizer.step_size"])


def test_columns_of_growing_numbers_of_seeds(attacked):
    loss = parse_quantity("loss", attacked)
    chosen = [run for run in attacked if run.spec["attack"]["kind"] == "zero"]
    found = pivot(chosen, loss, rows=["coding.load", "optimizer.step_size"], columns=["seeds"])
    assert found.column_labels == (("1",), ("2",), ("3",))
    row = ("2", "0.1")
    assert [found.cells[row, (str(n),)].median for n in SEEDS] == [76, 76.5, 77]


def test_a_missing_combination_has_no_cell(attacked):
    chosen = [
        run
        for run in attacked
        if not (run.spec["attack"]["kind"] == "zero" and run.spec["coding"]["load"] == 2)
    ]
    loss = parse_quantity("loss", chosen)
    found = pivot(chosen, loss, rows=["attack", "optimizer.step_size"], columns=["coding.load"])
    assert (("zero", "0.1"), ("1",)) in found.cells
    assert (("zero", "0.1"), ("2",)) not in found.cells
    worst = pivot(
        chosen,
        loss,
        rows=["optimizer.step_size"],
        columns=["coding.load"],
        reduction=Reduction("attack"),
    )
    assert any("cannot be compared" in note for note in worst.notes)


def test_timed_quantities_keep_conditions_apart(write_run, tmp_path):
    write_run("a.h5", seed=1, ranks=2)
    write_run("b.h5", seed=2, ranks=3)
    runs = load_collection([tmp_path / "study"]).runs
    assert pivot(runs, parse_quantity("loss", runs), rows=["name"]).cells
    with pytest.raises(UsageError, match="differ in ranks"):
        pivot(runs, parse_quantity("iteration_s", runs), rows=["name"])


def test_quantities_of_a_run(accuracies):
    (run,) = load_collection([accuracies], parse_where("coding.load = 5 and seed = 1")).runs
    curve = np.array([*run.metrics["test_accuracy"], run.final.metrics["test_accuracy"]])
    known = curve[~np.isnan(curve)]

    def value(text):
        return parse_quantity(text, [run]).measure(run)

    assert value("test_accuracy") == known[-1]
    assert value("best:test_accuracy") == known.max()
    assert value("last2:test_accuracy") == pytest.approx(known[-2:].mean())
    step = value("iterations_to:test_accuracy=0.5")
    assert curve[int(step)] >= 0.5
    assert value("uplink_bytes_to:test_accuracy=0.5") == step * value("uplink_bytes")
    assert value("seconds_to:test_accuracy=0.5") == pytest.approx(
        run.training_seconds()[: int(step)].sum()
    )
    assert value("gradients_to:test_accuracy=0.5") == step * value("gradients") == step * 50
    assert value("iterations_to:test_accuracy=0.99") == math.inf
    assert value("aggregate_s") == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test_acuracy", "did you mean 'test_accuracy'"),
        ("bset:loss", "unknown statistic 'bset' in 'bset:loss'; did you mean 'best'"),
        ("best:los", "did you mean 'loss'"),
        ("seconds_to:loss", "write seconds_to:METRIC=VALUE"),
        ("seconds_to:loss=x", "expected a finite number"),
        ("last0:loss", "unknown statistic"),
    ],
)
def test_an_unknown_quantity_names_the_nearest(accuracies, text, message):
    runs = load_collection([accuracies]).runs
    with pytest.raises(UsageError) as caught:
        parse_quantity(text, runs)
    assert message in str(caught.value) + (caught.value.hint or "")


def test_labels_name_pre_aggregations_and_what_differs(study):
    runs = load_collection([study]).runs
    table = KeyTable(runs)
    labels = {table.label(run, "aggregation") for run in runs}
    assert labels == {"trimmed_mean", "nnm+trimmed_mean"}
    assert {table.label(run, "coding") for run in runs} >= {"cyclic (load=10)", "draco_repetition"}
    assert table.label(next(r for r in runs if r.name == "DRACO"), "coding.load") == "not set"


def run_table(study, *arguments):
    return main(["table", str(study), *arguments])


def test_formats_hold_the_same_numbers(accuracies, capsys):
    arguments = ("--rows", "coding.load", "--value", "test_accuracy", "--value", "loss")
    printed = {}
    for kind in ("text", "markdown", "latex", "csv", "json"):
        assert run_table(accuracies, *arguments, "--format", kind) == 0
        printed[kind] = capsys.readouterr().out
    records = json.loads(printed["json"])["records"]
    assert len(records) == 8
    rows = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert [float(row["median"]) for row in rows] == [one["median"] for one in records]
    for record in records:
        shown = f"{record['median']:#.4g}".rstrip(".")
        assert all(shown in printed[kind] for kind in ("text", "markdown", "latex"))
    assert "| coding.load | test accuracy | loss |" in printed["markdown"]
    assert r"\toprule" in printed["latex"]


def test_names_from_logs_are_escaped(write_run, tmp_path, capsys):
    write_run("a.h5", name=r"a|b & \c_{d}\x1b[31m")
    assert run_table(tmp_path / "study", "--rows", "name", "--format", "markdown") == 0
    assert r"a\|b & \\c" in capsys.readouterr().out
    assert run_table(tmp_path / "study", "--rows", "name", "--format", "latex") == 0
    assert r"a|b \& \textbackslash{}c\_\{d\}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "coding.lod"], "no run has the key 'coding.lod'; did you mean 'coding.load'?"),
        (["--where", "coding.lod=1"], "did you mean 'coding.load'?"),
        (["--where", "coding.load=99"], "no run of 12 fulfils --where 'coding.load=99'"),
        (["--where", "coding.load"], "is not a condition"),
        (["--rows", "coding.load", "--value", "accuracy"], "no log has the quantity 'accuracy'"),
        (["--rows", "coding.load", "--columns", "seeds,seed"], "cannot be combined"),
        (["--rows", "seeds"], "the key 'seeds' is only for columns"),
    ],
)
def test_mistakes_are_named(accuracies, arguments, message, capsys):
    assert run_table(accuracies, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_log_is_named_and_the_rest_shown(accuracies, capsys):
    (accuracies / "lad1-1.h5").write_bytes(b"no log")
    assert run_table(accuracies, "--rows", "coding.load") == 0
    shown = capsys.readouterr().out
    assert "Logs left out: 1" in shown
    assert "cells have 2 to 3 seeds." in shown


def test_many_logs_are_read_as_few_are(accuracies, monkeypatch):
    serial = load_collection([accuracies])
    monkeypatch.setattr("analysis.runs._MANY", 4)
    parallel = load_collection([accuracies])
    assert [run.path for run in parallel.runs] == [run.path for run in serial.runs]
    for one, other in zip(parallel.runs, serial.runs, strict=True):
        np.testing.assert_array_equal(one.metrics["loss"], other.metrics["loss"])
