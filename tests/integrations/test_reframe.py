"""The ReFrame test passes, fails with its study, and reports figures of merit, for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.cli import main

pytestmark = pytest.mark.integrations

STUDY = """
[base]
iterations = 5
data = { dimension = 4 }
devices = { count = 4, byzantine = 1 }
[[cases]]
name = "too far"
optimizer = { kind = "gd", step_size = 1e300 }
[[cases]]
name = "fine"
"""

TESTS = """
import reframe as rfm
from lad_mpi_study import LadMpiStudy

@rfm.simple_test
class OutOfBounds(LadMpiStudy):
    reference = {
        "laptop:mpi": {
            "LAD_median/loss": (3.312, -0.01, 0.01, "1"),
            "LAD_median/uplink_bytes": (8000, -0.01, 0.01, "B"),
        }
    }

@rfm.simple_test
class OneRunFails(LadMpiStudy):
    study = "STUDY"

@rfm.simple_test
class NoStudy(LadMpiStudy):
    study = "none.toml"
    ranks = 1
"""


@pytest.fixture(scope="module")
def session(tool, integrations, tmp_path_factory):
    """Run four tests under mpirun in one session of ReFrame."""
    reframe = tool("reframe")
    folder = tmp_path_factory.mktemp("reframe")
    (folder / "study.toml").write_text(STUDY)
    (folder / "site_tests.py").write_text(TESTS.replace("STUDY", str(folder / "study.toml")))
    ours = integrations / "reframe"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python_path = os.pathsep.join([str(ours), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            *(reframe, "--nocolor", "-C", ours / "settings.py", "--prefix", folder),
            *("-c", ours / "lad_mpi_study.py", "-c", folder / "site_tests.py"),
            *("-S", "time_limit=90s"),
            *("-r", "--performance-report", "--report-file", folder / "report.json"),
        ],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PATH": path, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    (run,) = json.loads((folder / "report.json").read_text())["runs"]
    cases = {case["name"]: case for case in run["testcases"]}
    return SimpleNamespace(done=done, cases=cases)


def test_a_good_study_passes_with_its_figures_of_merit(session, capsys):
    case = session.cases["LadMpiStudy"]
    assert case["result"] == "pass", session.done.stdout
    assert main(["table", "--fom", f"{case['outputdir']}/results"]) == 0
    lines = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    found = {name.rpartition("laptop:mpi:")[2]: v for name, v in case["perfvalues"].items()}
    assert {name: (value[0], value[4]) for name, value in found.items()} == {
        name: (float(value), unit) for _, name, value, unit in lines
    }
    for shown in ("LAD_median/iteration_s", "LAD_trimmed_mean/aggregate_s"):
        assert shown in session.done.stdout


def test_references_of_a_site_bound_the_figures(session):
    case = session.cases["OutOfBounds"]
    assert (case["result"], case["fail_phase"]) == ("fail", "performance")
    assert "LAD_median/uplink_bytes=8640" in case["fail_reason"]
    assert "loss" not in case["fail_reason"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("OneRunFails", "runs are not complete: too far, seed 1: failed"),
        ("NoStudy", "the study cannot be read; see rfm_job.err"),
    ],
)
def test_the_test_fails_with_its_study(session, name, reason):
    case = session.cases[name]
    assert (case["result"], case["fail_phase"]) == ("fail", "sanity")
    assert reason in case["fail_reason"]


def test_the_exit_code_tells_that_tests_failed(session):
    assert len(session.cases) == 4
    assert session.done.returncode == 1
