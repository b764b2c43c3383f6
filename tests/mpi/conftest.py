"""One report instead of one a rank: ranks other than 0 speak only of failures."""

import pytest
from mpi4py import MPI


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and MPI.COMM_WORLD.rank != 0:
        reporter.isatty = False
        config.option.verbose = -2
        config.option.no_header = config.option.no_summary = True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and MPI.COMM_WORLD.rank != 0:
        print(f"\nrank {MPI.COMM_WORLD.rank}: {item.nodeid}\n{report.longreprtext}", flush=True)


@pytest.fixture
def world():
    """All ranks, in step at both ends of a test."""
    MPI.COMM_WORLD.Barrier()
    yield MPI.COMM_WORLD
    MPI.COMM_WORLD.Barrier()
