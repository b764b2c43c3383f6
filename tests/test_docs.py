"""What the documentation shows is run as it is printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md"])


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def run(arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def mylab(tmp_path):
    """The package of docs/extending.md, installed in a folder of its own."""
    page = ROOT / "docs" / "extending.md"
    (tmp_path / "mylab.py").write_text("\n\n".join(blocks(page, "python")))
    entry_points, spec = blocks(page, "toml")
    metadata = tmp_path / "mylab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    groups = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", entry_points)
    (metadata / "entry_points.txt").write_text(groups.replace('"', ""))
    (tmp_path / "mine.toml").write_text(spec)
    return tmp_path


def test_components_of_another_package_run_and_are_listed(mylab):
    done = run(["-m", "lad_mpi", "run", "mine.toml", "-o", "mine.h5"], mylab, PYTHONPATH=str(mylab))
    assert done.returncode == 0, done.stderr
    shown = json.loads(run(["-m", "lad_mpi", "show", "mine.h5", "--json"], mylab).stdout)
    assert shown["status"] == "complete"
    # Eight coordinates of two bytes, and a header, from each of 20 devices.
    assert shown["uplink_bytes_per_iteration"] == 20 * (32 + 16)
    listed = run(["-m", "lad_mpi", "components", "--json"], mylab, PYTHONPATH=str(mylab))
    kinds = {row["kind"] for rows in json.loads(listed.stdout).values() for row in rows}
    assert kinds >= {"half_mean", "half_precision", "shift", "quadratic"}


def test_the_readme_runs_as_it_is_printed(tmp_path):
    pytest.importorskip("xarray")
    page = ROOT / "README.md"
    (spec,) = blocks(page, "toml")
    (tmp_path / "lad.toml").write_text(spec)
    done = run(["-m", "lad_mpi", "run", "lad.toml", "-o", "lad.h5"], tmp_path)
    assert done.returncode == 0, done.stderr
    shown = [run(["-W", "error", "-c", code], tmp_path) for code in blocks(page, "python")]
    assert [done.returncode for done in shown] == [0, 0], [done.stderr for done in shown]
    first, last = json.loads(re.sub(r"\s+", ",", shown[0].stdout.splitlines()[0].strip()))
    # Twenty subsets a device and NNM: the loss falls by a factor of a thousand.
    assert last < first / 1000
    # Twenty rows of a million are trimmed away.
    assert max(abs(float(x)) for x in shown[1].stdout.strip("[]\n ").split()) < 1


def test_every_worked_example_is_under_30_lines():
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        lines = [line for line in block.splitlines() if line.strip()]
        assert len(lines) < 30


def test_the_log_is_read_by_xarray_as_documented(tmp_path):
    pytest.importorskip("xarray")
    done = run(["-m", "lad_mpi", "run", *SHORT, "-o", "run.h5"], tmp_path / spec(tmp_path))
    assert done.returncode == 0, done.stderr
    for code in blocks(ROOT / "docs" / "log-format.md", "python"):
        shown = run(["-W", "error", "-c", code], tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "compute" in shown.stdout


SHORT = ["spec.toml"]


def spec(folder):
    (folder / "spec.toml").write_text("iterations = 12\n")
    return folder


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_commands_in_the_documentation_exist(page):
    help_text = run(["-m", "lad_mpi", "--help"], ROOT).stdout
    for command in re.findall(r"\blad-mpi ([a-z]+)\b", page.read_text()):
        assert re.search(rf"^ +{command}\b", help_text, re.MULTILINE), command
