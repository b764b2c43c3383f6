"""The table is right for a person, and exact for a program."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

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
    assert "failed.h5: LAD [bold]" in " ".join(shown.split())
    assert "the disk is full" in " ".join(shown.split())
    assert "†" not in shown


def test_oversubscribed_runs_are_marked_and_make_no_claim(write_run, narrow, capsys):
    path = write_run(provenance={"oversubscribed": True})
    assert main(["table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "3.60e+03†" in shown
    assert "times show no scaling" in shown


def test_times_of_different_machines_are_not_compared(write_run, tmp_path):
    write_run("a.h5", provenance={"cpu_model": "one", "devices": ["cpu", "cpu"]})
    write_run("b.h5", name="b", provenance={"cpu_model": "two"})
    rows = summarise(load_collection([tmp_path]))
    assert {row.machine for row in rows} == {"one", "two"}
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
