"""Fixtures that write logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.logs import Axes, FinalState, LogBlock, LogWriter, RunHeader, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RANKS = 3
PHASES = ("broadcast", "compute", "evaluate")
DIMENSION = 4


def make_header(iterations: int = 5) -> RunHeader:
    spec = f'name = "LAD d=2"\nseed = 1\niterations = {iterations}\n'
    provenance = {
        "git_revision": "0123abc",
        "oversubscribed": True,
        "cores": 2,
        "clock_resolution_s": 1e-9,
        "hosts": ["node1", "node2"],
        "modules": [],
    }
    return RunHeader(["LAD d=2"], spec, "f00d", "", ["lad_mpi 0.2.0"], provenance)


def make_block(first: int, rows: int, *, seed: int = 0) -> LogBlock:
    generator = np.random.default_rng(seed + first)
    metrics: dict[str, Any] = {
        **{metric.name: generator.random(rows) for metric in schema.STEP_METRICS},
        **{count.name: generator.integers(0, 2, rows) for count in schema.COUNTS},
    }
    refusals = generator.integers(0, 3, (rows, len(schema.REASONS)))
    metrics["messages_rejected"] = refusals.sum(axis=1)
    seconds = generator.random((rows, RANKS, len(PHASES)))
    seconds[:, 0, 1] = np.nan
    traffic = {variable.name: generator.integers(0, 99, rows) for variable in schema.TRAFFIC}
    return LogBlock(first, metrics, refusals, seconds, traffic)


def make_writer(
    path: Path, *, header: RunHeader | None = None, ranks: int = RANKS, **options: Any
) -> LogWriter:
    return LogWriter(
        path,
        header=header or make_header(),
        axes=Axes(
            ranks,
            PHASES,
            PHASES[:2],
            options.pop("warmup_iterations", 10),
            options.pop("metrics", schema.STEP_METRICS),
        ),
        dimension=DIMENSION,
        dtype=np.dtype("float64"),
        **options,
    )


@pytest.fixture
def header() -> Callable[..., RunHeader]:
    return make_header


@pytest.fixture
def block() -> Callable[..., LogBlock]:
    return make_block


@pytest.fixture
def open_writer() -> Callable[..., LogWriter]:
    return make_writer


@pytest.fixture
def state() -> FinalState:
    metrics = {"loss": 0.1, "gradient_norm": 0.2, "distance_to_optimum": float("nan")}
    return FinalState(np.array([1.0, 1 / 3, -2.0, 1e-300]), metrics)


@pytest.fixture
def complete_log(tmp_path: Path, state: FinalState) -> Path:
    path = tmp_path / "complete.h5"
    with make_writer(path) as writer:
        writer.append(make_block(0, 3))
        writer.append(make_block(3, 2))
        writer.finish("complete", state=state)
    return path
