"""The table is right for a person, and exact for a program."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from rich.cells import cell_len

from analysis.cli import main
from analysis.runs import load_collection
from analysis.summary import summarise
from analysis.table import notes


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_the_terminal_shows_every_method_in_80_columns(study, write_run, narrow, capsys):
    write_run("failed.h5", status="failed", name="LAD [bold] of a very long name, too long to fit")
    write_run("long.h5", name="Com-LAD-CWTM-NNM with a very long name d=20")
    assert main(["table", str(study)]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    for label in ("LAD d=1", "LAD d=10", "LAD-NNM d=5", "DRACO", "Com-LAD", "Com-LAD-CWTM"):
        assert shown.count(label) >= 2
    assert "(5.000 … 10.00)" in shown
    assert "too few for an interval" in shown
    # A long path may be broken anywhere.
    assert "failed.h5:LAD[bold]" in "".join(shown.split())
    assert "the disk is full" in " ".join(shown.split())
    assert "†" not in shown


def test_a_log_without_times_has_a_row(write_run, narrow, capsys):
    path = write_run("run.h5", name="LAD")
    with h5py.File(path, "r+") as file:
        file["provenance"].attrs["first_iteration"] = 10**9
    assert main(["table", str(path)]) == 0
    assert "LAD" in capsys.readouterr().out


def test_oversubscribed_runs_are_marked_and_make_no_claim(write_run, narrow, capsys):
    path = write_run(provenance={"oversubscribed": True})
    assert main(["table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "3.60e+03†" in shown
    assert "times show no scaling" in shown


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_digit_and_no_name_is_lost_on_a_narrow_terminal(
    study, write_run, monkeypatch, capsys, width
):
    name = "_[b]Com-LAD[/b] :smile: Q=10² with/any\\printable $name$ 模型"
    write_run("named.h5", name=name, final_loss=1.23456e-7, coding={"load": 3})
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["table", str(study), "--target", "20"]) == 0
    shown = capsys.readouterr().out
    assert max(cell_len(line) for line in shown.splitlines()) <= width
    numbers = shown.replace("\n\n", "\n").splitlines()
    for number in (
        "1.235e-07",
        "(1.235e-07 … 1.235e-07)",
        "3.60e+03",
        "2.00e+03",
        "(5.000 … 10.00)",
    ):
        assert any(number in line for line in numbers), number
    for label in (name, "LAD-NNM d=5", "DRACO"):
        first_column = "".join(re.split("  +", line)[0] for line in numbers)
        assert "".join(label.split()) in "".join(first_column.split())
    for title in ("seeds", "final loss", "interval", "× exact", "dispersion", "ms each", "comm."):
        assert title in shown


def test_a_mean_far_from_its_median_stands_beside_it(write_run, narrow, capsys):
    def clock(rows, ranks):
        table = np.full((rows, ranks, 5), np.nan)
        table[:, 0] = [0.0, np.nan, 0.5, 0.125, 0.0]
        table[:, 1:, :3] = [0.0, 0.5, 0.0]
        # Three in ten iterations wait for the network.
        table[2:, 0, 2] += np.resize([0, 0, 0, 0, 0, 0, 0, 1, 1, 1], rows - 2)
        return table

    path = write_run(ranks=2, clock=clock, final_loss=1.0)
    assert main(["table", str(path), "--target", "1"]) == 0
    shown = capsys.readouterr().out
    assert "625 (925)" in shown
    assert "0.00 (300)" in shown
    assert "(mean): the mean over iterations" in shown
    # 12 iterations × 875 ms are 10.5 s, to be read off one line.
    (line,) = [line for line in shown.splitlines() if " 10.5 " in line]
    assert " 12.00 " in line
    assert " 875 " in line
    (row,) = summarise(load_collection([path]))
    (time,) = row.times
    assert sum(part.mean for part in time.phases.values()) == pytest.approx(time.mean_s)
    assert time.phases["communication"].median == pytest.approx(0.0)


def test_means_near_their_medians_are_not_shown(study, narrow, capsys):
    assert main(["table", str(study)]) == 0
    assert "(mean)" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("predictions", "said", "unsaid"),
    [
        (["exact"], "messages; the expectation is 1.", "at most"),
        (["upper bound"], "messages; * at most 1:", "expectation is"),
        (["exact", "upper bound"], "expectation is 1; * at most 1: the", "none"),
        ([""], "honest messages.", "expectation"),
    ],
)
def test_one_is_expected_only_where_the_prediction_is_exact(  # noqa: PLR0917  (fixtures)
    write_run, tmp_path, narrow, capsys, predictions, said, unsaid
):
    for number, prediction in enumerate(predictions):
        made = {"dispersion_prediction": prediction}
        write_run(f"{number}.h5", name=f"method {number}", seed=number + 1, provenance=made)
        write_run(f"{number}b.h5", name=f"method {number}", coding={"load": 3}, provenance=made)
    assert main(["table", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert unsaid not in shown
    assert ("1.50*" in shown) == ("upper bound" in predictions)


def test_times_of_different_machines_are_not_compared(write_run, tmp_path):
    write_run("a.h5", provenance={"cpu_model": "one", "devices": ["cpu", "cpu"]})
    write_run("b.h5", name="b", provenance={"cpu_model": "two"})
    rows = summarise(load_collection([tmp_path]))
    assert {time.conditions.machine for row in rows for time in row.times} == {"one", "two"}
    assert any("different machines" in note for note in notes(rows))


def test_six_seeds_have_a_confidence_interval(write_run, tmp_path):
    for seed in range(1, 7):
        write_run(f"{seed}.h5", seed=seed)
    rows = summarise(load_collection([tmp_path]))
    assert rows[0].final_loss.coverage == pytest.approx(1 - 2 / 2**6)
    assert any("confidence interval" in note for note in notes(rows))
    assert not any("too few" in note for note in notes(rows))


def test_json_is_exact(write_run, tmp_path, capsys):
    write_run("a.h5", final_loss=1 / 3)
    write_run("b.h5", status="interrupted", seed=7)
    assert main(["table", "--json", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    complete, excluded = document["records"]
    assert complete["final_loss_median"] == 1 / 3
    assert complete["ratio_to_exact_median"] is None
    assert complete["compute_s"] == 2.0
    assert excluded == {
        "method": "LAD d=2",
        "status": "interrupted",
        "reason": "interrupted (5 of 12 iterations)",
        "path": str(tmp_path / "study" / "b.h5"),
        "seed": 7,
    }
    assert document["notes"]


def test_csv_is_exact_and_holds_the_same_records(study, write_run, capsys):
    write_run("failed.h5", status="failed")
    assert main(["table", "--json", str(study)]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert main(["table", "--csv", str(study)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["method"] for row in rows] == [record["method"] for record in records]
    for row, record in zip(rows, records, strict=True):
        for key, value in record.items():
            assert row[key] == ("" if value is None else str(value)), key


@pytest.mark.parametrize("command", ["table", "figures"])
def test_errors_are_plain_and_exit_with_2(tmp_path, command, capsys):
    assert main([command, str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("lad-mpi analysis: error: no logs in")
    assert main([command, str(tmp_path / "nowhere"), "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["table", "--csv"], []])
def test_the_command_loads_no_more_than_it_needs(study, arguments):
    script = (
        "import sys\n"
        "from analysis.cli import main\n"
        f"code = main({[*arguments, str(study)]!r}) if {bool(arguments)} else 0\n"
        "heavy = {'matplotlib', 'pandas', 'scipy', 'xarray', 'mpi4py', 'cupy', 'rich'}\n"
        "sys.exit(code or ', '.join(heavy & sys.modules.keys()) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
