"""One report instead of one a rank: ranks other than 0 speak only of failures."""

import shutil
import tempfile

import pytest
from mpi4py import MPI

RANK = MPI.COMM_WORLD.rank


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Ranks that clean up one shared folder get in each other's way.
    config.option.basetemp = tempfile.mkdtemp(prefix=f"lad-mpi-rank-{RANK}-")


def pytest_sessionstart(session):
    if RANK != 0:
        session.config.pluginmanager.unregister(name="terminalreporter")


def pytest_unconfigure(config):
    shutil.rmtree(config.option.basetemp, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and RANK != 0:
        print(f"\nrank {RANK}: {item.nodeid}\n{report.longreprtext}", flush=True)


@pytest.fixture
def world():
    """All ranks, in step at both ends of a test."""
    MPI.COMM_WORLD.Barrier()
    yield MPI.COMM_WORLD
    MPI.COMM_WORLD.Barrier()
