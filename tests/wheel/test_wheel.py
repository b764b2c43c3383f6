"""The wheel in an empty environment, outside a clone: a study, its analysis, and a job script."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
#: All that a build reads.
SOURCES = ("analysis", "jobs", "lad_mpi", "LICENSE", "README.md", "pyproject.toml")
STUDY = """
[base]
name = "tiny"
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
[axes]
seed = [1, 2]
"""


def run(*command, folder, **environment):
    # Nothing of the environment that the tests run in, and nothing of the clone.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build the wheel from a copy: a build leaves files in the folder that it reads."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "source").mkdir()
    for name in SOURCES:
        source, target = ROOT / name, folder / "source" / name
        if source.is_dir():
            shutil.copytree(
                source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(source, target)
    built = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(sys.executable, "-m", *built, "-w", folder, folder / "source", folder=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """Return the folder of programs of an environment that has the wheel and what it needs."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", venv, folder=venv.parent)
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-compile")
    run(venv / "bin" / "pip", *install, f"{wheel}[mpich,analysis]", folder=venv.parent)
    return venv / "bin"


def test_the_wheel_has_every_file_of_its_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tracked = run("git", "ls-files", "lad_mpi", "analysis", folder=ROOT).splitlines()
    files = {name for name in tracked if not (ROOT / name).is_symlink()}
    assert files <= packed
    clusters = {path.name for path in (ROOT / "jobs" / "clusters").glob("*.toml")}
    packed_clusters = {Path(name).name for name in packed if "/clusters/" in name}
    assert clusters == packed_clusters
    # And nothing that is not of this suite, such as its tests.
    assert {name.partition("/")[0].partition("-")[0] for name in packed} == {"analysis", "lad_mpi"}


def test_a_study_its_analysis_and_a_job_script(installed, tmp_path):
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"
    (tmp_path / "study.toml").write_text(STUDY)

    def lad(*words, launcher=()):
        return run(*launcher, installed / "lad-mpi", *words, folder=tmp_path, PATH=path)

    launcher = (installed / "mpirun", "-n", "2")
    done = lad("study", "run", "study.toml", "-o", "out", "--progress", "none", launcher=launcher)
    assert done.startswith("2 completed")
    assert "tiny" in lad("analysis", "table", "out")
    drawn = lad("analysis", "figures", "out", "-o", "figures").splitlines()
    assert "figures/loss_against_iterations.pdf" in drawn
    assert all((tmp_path / name).stat().st_size for name in drawn)
    for cluster, says in (("mpich", "mpiexec --bind-to core"), ("cray", '--mpi="$MPI"')):
        script = lad(
            "study", "submit", "study.toml", "--cluster", cluster, "--array", "--dry-run",
            "-o", "new",
        )  # fmt: skip
        assert says in script
        assert "lad-mpi study run" in script
        (tmp_path / "job.sbatch").write_text(script)
        run("bash", "-n", "job.sbatch", folder=tmp_path)
