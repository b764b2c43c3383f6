"""``show`` lists and ``validate`` checks the logs of folders, and bad ones stop neither."""

from __future__ import annotations

import json

import h5py
import pytest

from lad_mpi.cli.main import main

STUDY = """
[base]
iterations = 4
data = { kind = "synthetic_classification", dimension = 3 }
model = { kind = "softmax_regression" }
devices = { count = 4, byzantine = 1 }
[axes]
seed = [1, 2]
[[cases]]
name = "good"
[[cases]]
name = "linear"
data = { kind = "synthetic", dimension = 3 }
model = { kind = "linear_regression" }
optimizer = { step_size = 1e200 }
aggregation = { kind = "mean" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two complete logs, two failed ones, one that is cut and one of another program."""
    place = tmp_path_factory.mktemp("show")
    (place / "study.toml").write_text(STUDY)
    main(["study", "run", str(place / "study.toml"), "-o", str(place / "out"), "-q"])
    good = sorted((place / "out").glob("good*.h5"))
    (place / "out" / "more").mkdir()
    (place / "out" / "more" / "cut.h5").write_bytes(good[0].read_bytes()[:3000])
    with h5py.File(place / "out" / "foreign.h5", "w") as file:
        file["data"] = [1, 2]
    (place / "empty").mkdir()
    return place


@pytest.fixture
def call(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)

    def look(*arguments):
        capsys.readouterr()
        return main(list(arguments)), *capsys.readouterr()

    return look


def test_a_folder_is_shown_one_log_a_line(call):
    code, output, _ = call("show", "out")
    head, _, *lines = output.splitlines()
    assert code == 1
    assert head.split() == ["run", "seed", "status", "iterations", "loss", "test_accuracy"]
    assert [line.split()[:4] for line in lines[:4]] == [
        ["good", "1", "complete", "4/4"],
        ["good", "2", "complete", "4/4"],
        ["linear", "1", "failed", lines[2].split()[3]],
        ["linear", "2", "failed", lines[3].split()[3]],
    ]
    assert sum("out/linear" in line and ": failed: diverged" in line for line in lines) == 2
    assert any(line.startswith("out/more/cut.h5 ") for line in lines)
    assert lines[-1] == "5 logs: 2 complete, 2 failed, 1 damaged"


def test_several_logs_are_listed_and_a_single_one_is_summarised(call, folder):
    good = sorted(map(str, folder.glob("out/good*.h5")))
    code, output, _ = call("show", *good)
    assert (code, output.splitlines()[-1]) == (0, "2 logs: 2 complete")
    assert call("show", good[0])[1].startswith("name ")
    code, _, errors = call("show", *good, "--spec")
    assert (code, "--spec prints the spec of one log" in errors) == (2, True)


def test_json_has_every_log_with_its_path_and_full_numbers(call):
    code, output, _ = call("show", "out", "--json")
    rows = json.loads(output)
    assert code == 1
    assert [row["status"] for row in rows] == ["complete"] * 2 + ["failed"] * 2 + ["damaged"]
    single = json.loads(call("show", rows[0]["log"], "--json")[1])
    assert rows[0]["loss"] == single["final_loss"]
    assert rows[0]["test_accuracy"] == single["final_test_accuracy"]
    assert (rows[4]["name"], rows[4]["log"]) == (None, "out/more/cut.h5")


def test_a_folder_is_checked_and_only_what_is_not_in_order_is_named(call, folder):
    code, output, _ = call("validate", "out", "study.toml")
    lines = output.splitlines()
    assert code == 1
    assert lines[0] == "study.toml: valid"
    assert [line.partition(":")[2].split(",")[0] for line in lines[1:3]] == [" valid", " valid"]
    assert all(", failed after" in line for line in lines[1:3])
    assert lines[3] == "out/more/cut.h5: 1 finding"
    assert lines[-1] == "6 files: 5 valid, 1 with findings"
    assert "good" not in output
    found = json.loads(call("validate", "out", "study.toml", "--json")[1])
    assert len(found) == 6
    assert [path for path, findings in found.items() if findings] == ["out/more/cut.h5"]
    (folder / "out" / "more" / "cut.h5").rename(folder / "cut.h5")
    try:
        assert call("validate", "out")[0] == 0
    finally:
        (folder / "cut.h5").rename(folder / "out" / "more" / "cut.h5")


@pytest.mark.parametrize("command", ["show", "validate"])
def test_a_folder_without_logs_is_an_error(call, command):
    code, _, errors = call(command, "empty")
    assert (code, "no logs in empty" in errors) == (2, True)
