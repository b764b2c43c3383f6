"""A SLURM for the tests of this folder, where its programs are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster, find_missing

VENV = Path(sys.prefix)
JOBS = Path(__file__).parents[3] / "jobs" / "slurm"


@pytest.fixture(scope="session")
def cluster():
    """Four nodes of four processors each."""
    missing = find_missing()
    if missing:
        pytest.skip(f"no SLURM here: {', '.join(missing)} not found")
    with Cluster() as started:
        started.environment["VENV"] = str(VENV)
        yield started


@pytest.fixture
def jobs():
    """The folder of the ready job scripts."""
    return JOBS
