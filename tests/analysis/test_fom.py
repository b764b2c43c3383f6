"""Figures of merit: one line for each method and quantity, with full precision."""

from __future__ import annotations

import json
import re

import pytest

from analysis.cli import main

#: As documented for Ramble in docs/integrations.md.
LINE = re.compile(r"FOM (?P<name>[^\s/]+/[^\s/]+) (?P<value>\S+) (?P<unit>\S+)")


@pytest.fixture
def show(capsys):
    def call(*arguments):
        assert main(["table", *map(str, arguments)]) == 0
        return capsys.readouterr()

    return call


def figures(out):
    found = [LINE.fullmatch(line) for line in out.splitlines()]
    values = {match["name"]: (float(match["value"]), match["unit"]) for match in found}
    assert len(values) == len(found)
    return values


def test_every_quantity_is_that_of_json(accuracies, show):
    found = figures(show("--fom", accuracies).out)
    records = json.loads(show("--json", accuracies).out)["records"]
    expected = {}
    for record in records:
        units = {"uplink_bytes": "B", "downlink_bytes": "B", "iteration_s_median": "s"}
        units |= {"final_loss_median": "1", "final_test_accuracy_median": "1", "gradients": "1"}
        units |= dict.fromkeys(("compute_s", "aggregate_s", "communication_s"), "s")
        for key, unit in units.items():
            quantity = key.removeprefix("final_").removesuffix("_median")
            name = record["method"].replace(" ", "_")
            expected[f"{name}/{quantity}"] = (record[key], unit)
    assert found == expected


def test_each_condition_has_its_times_and_each_method_its_errors_once(write_run, show):
    write_run("one.h5", ranks=2)
    study = write_run("two.h5", ranks=3).parent
    found = figures(show("--fom", study).out)
    assert [name for name in found if name.endswith("/loss")] == ["LAD_d=2/loss"]
    assert {name for name in found if name.endswith("/iteration_s")} == {
        "LAD_d=2_(ranks=2)/iteration_s",
        "LAD_d=2_(ranks=3)/iteration_s",
    }


def test_texts_of_a_log_stay_in_their_field(write_run, show):
    name = "a/b \x1b[2J c\nFOM x/loss 0.0 1"
    (line, *_) = show("--fom", write_run(name=name)).out.splitlines()
    assert LINE.fullmatch(line)["name"] == r"a_b_\u001b[2J_c\u000aFOM_x_loss_0.0_1/loss"


def test_two_methods_with_the_same_name_are_refused(write_run, capsys):
    write_run("a.h5", name="a b")
    study = write_run("b.h5", name="a/b", coding={"load": 5}).parent
    assert main(["table", "--fom", str(study)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "'a/b' and 'a b' would both be 'a_b'" in shown.err


def test_logs_that_are_left_out_are_named(write_run, show):
    write_run("good.h5")
    path = write_run("bad.h5", seed=2, status="failed")
    shown = show("--fom", path.parent)
    assert figures(shown.out)
    assert f"left out: {path}: LAD d=2, seed 2: the disk is full" in shown.err


def test_cells_of_pivot_tables_are_figures_of_merit(accuracies, show):
    chosen = ("--rows", "name", "--columns", "seed", "--value", "iterations_to:loss=1e-9")
    found = figures(show("--fom", *chosen, "--value", "test_accuracy", accuracies).out)
    records = json.loads(show("--json", *chosen, "--value", "test_accuracy", accuracies).out)
    expected = {}
    for cell in records["records"]:
        name = f"{cell['name'].replace(' ', '_')},seed={cell['seed']}/{cell['quantity']}"
        expected[name] = (float("inf") if cell["median"] is None else cell["median"], "1")
    assert found == expected
    assert ("LAD_d=5,seed=1/iterations_to:loss=1e-09", (float("inf"), "1")) in found.items()
