"""Commands as a person types them, in one process."""

import json
import subprocess
import sys

import pytest

from lad_mpi.cli.progress import LineDisplay
from lad_mpi.compression import CODECS

SPEC = """
name = "tiny"
iterations = 20
[data]
kind = "synthetic"
dimension = 6
[devices]
count = 10
byzantine = 2
[coding]
kind = "cyclic"
load = 3
"""
STUDY = """
description = "Two loads and one that cannot go on."
[base]
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
coding = { kind = "cyclic", load = 2 }
[axes]
seed = [1]
[[cases]]
name = "d={coding.load}"
axes = { coding.load = [1, 2] }
[[cases]]
name = "diverging"
aggregation = { kind = "mean" }
optimizer = { step_size = 1e200 }
"""


@pytest.fixture
def lad(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "study.toml").write_text(STUDY)

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "lad_mpi", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def test_run_writes_a_log_and_says_where(lad, tmp_path):
    done = lad("run", "spec.toml")
    assert done.returncode == 0
    path = tmp_path / done.stdout.strip()
    assert path.is_file()
    assert path.parent == tmp_path / "results"
    assert "tiny (seed 1): complete, loss" in done.stderr


def test_quiet_says_nothing(lad):
    done = lad("run", "spec.toml", "-q", "-o", "out.h5")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_second_run_keeps_the_log_unless_told_to_replace_it(lad):
    lad("run", "spec.toml", "-o", "out.h5")
    again = lad("run", "spec.toml", "-o", "out.h5")
    assert again.returncode == 2
    assert "out.h5 already exists" in again.stderr
    assert lad("run", "spec.toml", "-o", "out.h5", "--overwrite").returncode == 0


def test_dry_run_prints_a_spec_that_can_be_run(lad, tmp_path):
    done = lad("run", "spec.toml", "--set", "coding.load=4", "--dry-run")
    assert done.returncode == 0
    (tmp_path / "resolved.toml").write_text(done.stdout)
    assert lad("run", "resolved.toml", "--dry-run").stdout == done.stdout
    assert "load = 4" in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_typo_is_named_with_the_fix_and_without_a_traceback(lad):
    done = lad("run", "spec.toml", "--set", "coding.laod=3")
    assert done.returncode == 2
    assert done.stderr == (
        "lad-mpi: error: coding.laod: unknown key; did you mean 'load'?\n"
        "  hint: allowed here: assignment, load\n"
    )
    assert "Traceback" in lad("run", "spec.toml", "-v", "--set", "coding.laod=3").stderr


@pytest.mark.parametrize("arguments", [(), ("run",), ("fly",), ("run", "spec.toml", "--fast")])
def test_a_wrong_command_line_shows_the_usage(lad, arguments):
    done = lad(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: lad-mpi")


def test_a_run_that_fails_says_so_once(lad):
    done = lad(
        "run", "spec.toml", "--set", "aggregation.kind=mean", "--set", "optimizer.step_size=1e9"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lad-mpi: error: diverged: ")
    assert done.stderr.count("\n") == 2


def test_show_and_validate_read_what_run_wrote(lad):
    lad("run", "spec.toml", "-o", "out.h5")
    shown = json.loads(lad("show", "out.h5", "--json").stdout)
    assert (shown["name"], shown["status"], shown["iterations"]) == ("tiny", "complete", "20 of 20")
    assert shown["uplink_bytes_per_iteration"] == 10 * (32 + 6 * 8)
    assert "final_loss" in lad("show", "out.h5").stdout
    assert "load = 3" in lad("show", "out.h5", "--spec").stdout
    valid = lad("validate", "out.h5", "spec.toml", "study.toml")
    assert valid.returncode == 0
    assert valid.stdout.count(": valid\n") == 3


def test_show_says_which_network_was_emulated(lad):
    emulate = "network.emulate=bandwidth=1GB/s,latency=0.001ms"
    done = lad("run", "spec.toml", "-o", "out.h5", "--set", emulate)
    assert done.returncode == 0, done.stderr
    shown = json.loads(lad("show", "out.h5", "--json").stdout)
    assert shown["emulated_network"] == "latency=1us,bandwidth=1GB/s"
    assert '[network.emulate]\nlatency = "1us"' in lad("show", "out.h5", "--spec").stdout
    lad("run", "spec.toml", "-o", "real.h5", "--set", "network.emulate=false")
    assert "emulated_network" not in json.loads(lad("show", "real.h5", "--json").stdout)


def test_show_says_what_is_no_log(lad):
    done = lad("show", "spec.toml")
    assert done.returncode == 1
    assert "spec.toml" in done.stderr
    assert "Traceback" not in done.stderr
    found = lad("validate", "spec.toml", "absent.h5")
    assert (found.returncode, "absent.h5: 1 finding\n" in found.stdout) == (1, True)


def test_a_study_runs_reports_failures_and_goes_on_where_it_stopped(lad, tmp_path):
    planned = json.loads(lad("study", "plan", "study.toml", "--json").stdout)
    assert [row["name"] for row in planned] == ["d=1", "d=2", "diverging"]
    pending = json.loads(lad("study", "status", "study.toml", "--json").stdout)
    assert {row["status"] for row in pending} == {"pending"}

    first = lad("study", "run", "study.toml")
    assert first.returncode == 1
    assert "2 completed, 0 complete before, 1 not completed" in first.stdout
    assert "diverging (seed 1): diverged" in first.stderr
    status = json.loads(lad("study", "status", "study.toml", "--json").stdout)
    assert [row["status"] for row in status] == ["complete", "complete", "failed"]
    assert "diverged" in lad("study", "status", "study.toml").stdout

    # As after a kill in the moment between the end of a log and the removal of these.
    left = (tmp_path / planned[0]["log"]).with_suffix(".checkpoint-000000002.npz")
    left.write_bytes(b"")
    second = lad("study", "run", "study.toml")
    assert "0 completed, 2 complete before, 1 not completed" in second.stdout
    assert not left.exists()


def test_a_folder_in_the_place_of_a_log_is_one_failed_run_and_not_the_end(lad, tmp_path):
    planned = json.loads(lad("study", "plan", "study.toml", "--json").stdout)
    (tmp_path / planned[0]["log"]).mkdir(parents=True)
    status = json.loads(lad("study", "status", "study.toml", "--json").stdout)
    assert [row["status"] for row in status] == ["damaged", "pending", "pending"]
    done = lad("study", "run", "study.toml")
    assert done.returncode == 1
    assert "1 completed, 0 complete before, 2 not completed" in done.stdout
    assert "it is a folder" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a" * 300 + ".h5"], "too long for the file system"),
        (["-o", "log.hdf5"], "a log's name ends in .h5"),
        (["--set", "data.dimension=99999999999999999999"], "data.dimension"),
        (["--set", "devices.count=9223372036854775807"], "devices.count"),
        (
            ["--set", f"data={{kind='file',path='{'a' * 300}.csv'}}"],
            "File name too long",
        ),
        (["--set", "coding..load=3"], "has an empty part"),
        (["--set", "data.heterogeneity=1e308"], "data.heterogeneity"),
    ],
)
def test_slips_are_refused_and_not_traced(lad, arguments, words):
    done = lad("run", "spec.toml", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_study_says_before_its_first_run_stands_alone(capsys):
    LineDisplay().note("one.h5 is of an earlier run")
    assert capsys.readouterr().err == "one.h5 is of an earlier run\n"


def test_a_study_with_one_bad_case_runs_nothing(lad, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY + "coding = { kind = 'cyclic', load = 99 }\n")
    done = lad("study", "run", "study.toml")
    assert done.returncode == 2
    assert "cases[1]: coding.load" in done.stderr
    assert not (tmp_path / "results").exists()


def test_components_lists_every_member_of_every_family(lad):
    found = json.loads(lad("components", "--json").stdout)
    assert {row["kind"] for row in found["attack"]} >= {"none", "sign_flip", "alie"}
    assert all(row["summary"] for rows in found.values() for row in rows)
    plain = lad("components").stdout
    assert "[aggregation.pre]" in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_bench_rules_prints_every_rule_beside_the_bounds(lad):
    small = ("bench", "rules", "--n", "12", "--f", "2", "--dimension", "50", "--repeats", "2")
    found = json.loads(lad(*small, "--json").stdout)
    assert found["read"]["median_s"] > 0
    assert found["gram"]["median_s"] > 0
    timed = {kind: entry["median_s"] for kind, entry in found["components"].items()}
    assert timed.keys() >= {"trimmed_mean", "krum", "nnm", "bucketing"}
    assert all(seconds > 0 for seconds in timed.values())
    plain = lad(*small, "--rules", "median,nnm").stdout
    assert max(map(len, plain.splitlines())) <= 80
    refused = lad("bench", "rules", "--rules", "medain")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_bench_codecs_prints_every_codec_beside_a_copy(lad):
    small = ("bench", "codecs", "--devices", "2", "--dimension", "50", "--repeats", "2")
    found = json.loads(lad(*small, "--json").stdout)
    assert found["copy"]["gb_per_s"] > 0
    assert {name.split()[0] for name in found["codecs"]} == set(CODECS)
    for entry in found["codecs"].values():
        for timing in (entry["encode"], entry["decode"]):
            assert timing["gb_per_s"] == pytest.approx(2 * 50 * 4 / timing["median_s"] / 1e9)
    assert found["codecs"]["qsgd levels=7"]["payload_bytes"] == 4 + 25
    plain = lad(*small, "--codecs", "sign,cast", "--dtype", "float64").stdout
    assert max(map(len, plain.splitlines())) <= 80
    assert [line.split()[0] for line in plain.splitlines()[-3:]] == ["sign", "cast", "cast"]
    refused = lad("bench", "codecs", "--codecs", "sgn")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert lad("bench", "codecs", "--devices", "0").returncode == 2


def test_cupy_without_a_gpu_is_an_unfit_environment_and_says_what_is_missing(lad):
    done = lad("run", "spec.toml", "--set", "backend.kind=cupy")
    if done.returncode == 0:
        pytest.skip("there is a GPU here")
    assert done.returncode == 5
    assert 'backend.kind = "cupy" needs' in done.stderr
    assert "hint: " in done.stderr


def test_a_run_of_a_study_that_cannot_begin_is_failed_and_not_pending(lad, tmp_path):
    (tmp_path / "study.toml").write_text(
        '[base]\niterations = 5\ndata = { kind = "file", path = "later.svm" }\n'
        "devices = { count = 4, byzantine = 0 }\n"
    )
    assert lad("study", "run", "study.toml", "-o", "out").returncode == 1
    (row,) = json.loads(lad("study", "status", "study.toml", "-o", "out", "--json").stdout)
    assert (row["status"], row["job"]) == ("failed", "")
    assert "later.svm" in row["failure"]
    (tmp_path / "later.svm").write_text("".join(f"{k} 1:{k}\n" for k in range(1, 9)))
    assert lad("study", "run", "study.toml", "-o", "out").returncode == 0
    (row,) = json.loads(lad("study", "status", "study.toml", "-o", "out", "--json").stdout)
    assert (row["status"], row["failure"]) == ("complete", "")
    assert not list(tmp_path.glob("out/*.failure.txt"))


def test_only_the_chosen_runs_of_a_study_are_done(lad, tmp_path):
    rows = json.loads(lad("study", "plan", "study.toml", "-o", "out", "--json").stdout)
    done = lad("study", "run", "study.toml", "-o", "out", "--only", rows[1]["id"])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("out/*.h5")] == [rows[1]["log"].split("/")[-1]]
    refused = lad("study", "run", "study.toml", "-o", "out", "--only", "nowhere")
    assert (refused.returncode, "has no run nowhere" in refused.stderr) == (2, True)


def test_submitting_without_a_cluster_file_says_what_is_missing(lad):
    done = lad("study", "submit", "study.toml", "--cluster", "nowhere", "--dry-run")
    assert done.returncode == 2
    assert "there is no cluster file nowhere" in done.stderr


def test_a_package_that_cannot_be_imported_ends_only_what_asks_for_it(lad, install):
    """It ended every command with a traceback that did not name it."""
    install("broken", "import not_there", attacks={"shift": "Shift"}, rules={"half": "Half"})
    assert lad("validate", "spec.toml").returncode == 0
    assert lad("run", "spec.toml", "-o", "out.h5").returncode == 0
    assert lad("show", "out.h5").returncode == 0
    listed = lad("components")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "half" in listed.stdout
    refused = lad("run", "spec.toml", "-o", "more.h5", "--set", "attack={kind='shift'}")
    assert refused.returncode == 2
    assert "attack.kind: broken:Shift of broken 1.0 cannot be imported" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_attack_without_its_method_is_refused_before_the_run(lad, install, tmp_path):
    """It ran as no attack, and was reported complete."""
    install("mylab", MISSPELT, attacks={"shift": "Shift"})
    done = lad("run", "spec.toml", "-o", "out.h5", "--set", "attack={kind='shift'}")
    assert done.returncode == 2
    assert "attack.kind: class mylab.Shift lacks corrupt(self, coded, context)" in done.stderr
    assert "did you misspell it as 'corrupted'?" in done.stderr
    assert not (tmp_path / "out.h5").exists()


MISSPELT = """
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Shift:
    kind: ClassVar[str] = "shift"

    def corrupted(self, coded, context):
        return coded + 100
"""
