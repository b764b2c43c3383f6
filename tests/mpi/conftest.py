"""Rank 0 reports all tests; other ranks only report failures."""

import shutil
import tempfile

import numpy as np
import pytest
from mpi4py import MPI

from lad_mpi.logs import read_log, validate_log
from lad_mpi.training import run_spec, setup
from lad_mpi.transport import Loopback, open_link

RANK = MPI.COMM_WORLD.rank


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Ranks must not clean up a shared folder, so each gets its own.
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
    """The world, with a barrier before and after each test."""
    MPI.COMM_WORLD.Barrier()
    yield MPI.COMM_WORLD
    MPI.COMM_WORLD.Barrier()


@pytest.fixture
def same_bits(world, tmp_path_factory):
    """Run a spec on all ranks and in one process, and compare the results.

    An optional second spec is used for the single process. Returns both logs on the
    server, and None on other ranks.
    """

    def run(spec, alone=None):
        folder = tmp_path_factory.mktemp("bits")
        link = open_link()
        assert run_spec(spec, link, folder / "ranks.h5").status == "complete"
        if not link.is_server:
            return None
        run_spec(spec if alone is None else alone, Loopback(), folder / "alone.h5")
        assert validate_log(folder / "ranks.h5") == []
        ranks, one = read_log(folder / "ranks.h5"), read_log(folder / "alone.h5")
        for name, values in one.metrics.items():
            np.testing.assert_array_equal(ranks.metrics[name], values, err_msg=name)
        np.testing.assert_array_equal(ranks.final.model, one.final.model)
        np.testing.assert_equal(ranks.final.metrics, one.final.metrics)
        if alone is None or alone.server == spec.server:
            for way, sent in one.traffic.items():
                np.testing.assert_array_equal(ranks.traffic[way], sent)
        return ranks, one

    return run


@pytest.fixture
def evaluated_together(monkeypatch):
    """Let all ranks evaluate even the small models of these tests."""
    monkeypatch.setattr(setup, "_SMALL", 0)
