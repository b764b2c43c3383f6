"""The definitions of containers agree with the package, and linters find nothing in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMAGE = re.compile(r"^(?:FROM|From:) python:([0-9.]+)-slim(?: AS build)?$", re.MULTILINE)
#: What a build of the package reads, apart from jobs, to which a link in lad_mpi leads.
SOURCES = {"analysis", "lad_mpi", "LICENSE", "README.md", "pyproject.toml"}


@pytest.fixture(scope="module")
def dockerfile(integrations):
    return integrations / "docker" / "Dockerfile"


@pytest.fixture(scope="module")
def sections(integrations):
    """Return the sections of the Apptainer definition in order, as pairs of name and text."""
    text = (integrations / "apptainer" / "lad_mpi.def").read_text()
    text = re.sub(r"^(Bootstrap|From):.*\n", "", text, flags=re.MULTILINE)
    parts = re.split(r"^%(\w+)(.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::3], parts[3::3], strict=True))


def section(sections, name):
    return next(text for found, text in sections if found == name)


def test_all_stages_use_one_python_that_the_package_supports(dockerfile, integrations, pyproject):
    definition = integrations / "apptainer" / "lad_mpi.def"
    found = [IMAGE.findall(path.read_text()) for path in (dockerfile, definition)]
    assert [len(versions) for versions in found] == [2, 1]
    (version,) = {version for versions in found for version in versions}
    least = pyproject["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))


def test_both_install_extras_that_exist(dockerfile, sections, pyproject):
    (of_docker,) = re.findall(r"^ARG EXTRAS=(.*)$", dockerfile.read_text(), re.MULTILINE)
    (of_apptainer,) = re.findall(r'"/source\[(.*)\]"', section(sections, "post"))
    assert of_docker == of_apptainer
    assert set(of_docker.split(",")) <= set(pyproject["project"]["optional-dependencies"])


def test_both_copy_what_a_build_reads(dockerfile, sections, root):
    ignored = dockerfile.with_name("Dockerfile.dockerignore").read_text()
    allowed = re.findall(r"^!(.*)$", ignored, re.MULTILINE)
    assert set(allowed) == {*SOURCES, "jobs"}
    copied = [line.split() for line in section(sections, "files").strip().splitlines()]
    assert {source for source, _ in copied} == SOURCES
    assert all(target == f"/source/{source}" for source, target in copied)
    assert all((root / name).exists() for name in allowed)


@pytest.mark.parametrize("name", ["post", "environment", "runscript", "test"])
def test_shell_of_the_apptainer_definition_is_sound(sections, name):
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or "shellcheck"
    done = subprocess.run(
        [shellcheck, "--shell=sh", "-"],
        input=section(sections, name),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.integrations
def test_hadolint_finds_nothing(tool, dockerfile, tmp_path):
    hadolint = tool("hadolint")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text(dockerfile.read_text().replace("USER 1000", "USER root"))
    done = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, check=False)
    assert done.returncode == 1
