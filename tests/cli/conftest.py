"""Commands under a real launcher."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")
# Launched from a test that itself may have been started by a launcher.
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PMI_", "PMIX_"))}
PYTHON = sys.executable.encode()

SPEC = """
name = "tiny"
iterations = 20
data = { dimension = 6 }
devices = { count = 10, byzantine = 2 }
coding = { kind = "cyclic", load = 3 }
"""


@pytest.fixture
def environment():
    """Return the environment without what a launcher of the tests has set."""
    return CLEAN


@pytest.fixture
def command(tmp_path):
    """Build the command line of lad-mpi on so many ranks, with spec.toml at hand."""
    if MPIRUN is None:
        pytest.skip("no mpirun beside this Python")
    (tmp_path / "spec.toml").write_text(SPEC)

    def build(*arguments, ranks=3, wrapper=()):
        lad = [sys.executable, "-m", "lad_mpi", *arguments]
        return [MPIRUN, "-n", str(ranks), *wrapper, *lad]

    return build


@pytest.fixture
def lad(command, tmp_path):
    """Run lad-mpi on so many ranks to its end."""

    def call(*arguments, ranks=3, environment=()):
        return subprocess.run(
            command(*arguments, ranks=ranks),
            cwd=tmp_path,
            env={**CLEAN, **dict(environment)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


@pytest.fixture
def add_attack(tmp_path):
    """Make a package with an attack of its own; return the environment in which it is found."""

    def add(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[lad_mpi.attacks]\n{name} = {name}:{name.title()}\n"
        )
        search = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        return {"PYTHONPATH": os.pathsep.join(filter(None, search))}

    return add


@pytest.fixture
def alone(tmp_path, command):
    """Run lad-mpi without a launcher, beside a tiny spec.toml."""

    def call(*arguments, **environment):
        path = f"{Path(MPIRUN).parent}:{CLEAN['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "lad_mpi", *arguments],
            cwd=tmp_path,
            env={**CLEAN, "PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return call


@pytest.fixture
def start(command, tmp_path):
    """Start lad-mpi on so many ranks, and return once a file that matches is there."""
    processes = []

    def begin(*arguments, until, ranks=3, wrapper=(), environment=()):
        process = subprocess.Popen(
            command(*arguments, ranks=ranks, wrapper=wrapper),
            cwd=tmp_path,
            env={**CLEAN, **dict(environment)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(until)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, f"no {until} within 30 s"
            time.sleep(0.02)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def find_rank():
    """Find the process of a rank among the descendants of a launcher."""

    def find(launcher, rank):
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(stat.parent.name))
        waiting = list(children.get(launcher.pid, []))
        while waiting:
            process = waiting.pop()
            environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            program = Path(f"/proc/{process}/cmdline").read_bytes()
            # A script that starts a rank has the same variables.
            if f"PMI_RANK={rank}".encode() in environment and program.startswith(PYTHON):
                return process
            waiting.extend(children.get(process, []))
        raise AssertionError(f"no rank {rank} found")

    return find
