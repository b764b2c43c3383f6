"""Synthetic studies: logs with known numbers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomli_w

from lad_mpi.logs import Axes, Continuation, FinalState, LogBlock, LogWriter, RunHeader, schema
from lad_mpi.theory import honest_dispersion
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PHASES = ["broadcast", "compute", "gather", "aggregate", "evaluate"]
#: Phases that are no training.
APART = ("attack", "evaluate")
PACKAGES = ["lad_mpi 0.2.0"]
COUNT, BYZANTINE, ITERATIONS, WARMUP = 10, 2, 12, 2
ACCURACY = Metric("test_accuracy", "1", "share of the test samples classified rightly", "higher")

SPEC: dict[str, Any] = {
    "name": "LAD d=2",
    "seed": 1,
    "iterations": ITERATIONS,
    "data": {"kind": "synthetic", "heterogeneity": 0.1},
    "model": {"kind": "linear_regression"},
    "devices": {"count": COUNT, "byzantine": BYZANTINE},
    "coding": {"kind": "cyclic", "load": 2, "assignment": "random"},
    "compression": {"kind": "none"},
    "aggregation": {"kind": "trimmed_mean", "pre": []},
    "optimizer": {"kind": "gd", "step_size": 0.001},
    "backend": {"kind": "numpy", "dtype": "float64"},
}


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and "kind" not in value and key in merged
        merged[key] = merge(merged[key], value) if nested else value
    # None takes a table away, which TOML has no word for.
    return {key: value for key, value in merged.items() if value is not None}


def make_metrics(spec: dict[str, Any], rows: int) -> dict[str, Any]:
    coding = spec["coding"]
    load = coding.get("load", COUNT) if coding["kind"] == "cyclic" else COUNT
    loss = 100.0 / load * 0.9 ** np.arange(rows) * spec["seed"]
    beta_squared = np.linspace(4.0, 3.0, rows)
    predicted = honest_dispersion(
        beta_squared, num_devices=COUNT, num_honest=COUNT - BYZANTINE, load=load
    )
    metrics = {metric.name: np.zeros(rows) for metric in schema.STEP_METRICS}
    metrics |= {count.name: np.zeros(rows, np.int64) for count in schema.COUNTS}
    metrics |= {
        "loss": loss,
        "gradient_norm": np.ones(rows),
        "aggregation_error": np.sqrt(predicted / 9),
        "beta_squared": beta_squared,
        "honest_dispersion": predicted * 1.5,
        "honest_dispersion_predicted": predicted,
    }
    for metric in schema.STEP_METRICS:
        metrics[metric.name][1::3] = np.nan
    return metrics


def make_seconds(rows: int, ranks: int) -> Any:
    seconds = np.full((rows, ranks, len(PHASES)), np.nan)
    # The server waits in the gather, devices wait in the broadcast.
    seconds[:, 0] = [0.1, np.nan, 3.0, 0.5, 2.0]
    for rank in range(1, ranks):
        seconds[:, rank] = [2.9, rank, 0.2, np.nan, np.nan]
    seconds[:WARMUP] *= 100
    return seconds


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    return _writer(tmp_path / "study")


@pytest.fixture(scope="module")
def write_shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write logs that the tests of a module share. A test must not change them."""
    return _writer(tmp_path_factory.mktemp("study"))


def _writer(folder: Path) -> Callable[..., Path]:
    def write(
        file: str = "run.h5",
        *,
        status: str = "complete",
        ranks: int = 3,
        launches: Sequence[tuple[int, int]] | None = None,
        provenance: dict[str, Any] | None = None,
        names: Sequence[str] | None = None,
        data_digest: str = "",
        packages: Sequence[str] = PACKAGES,
        final_loss: float | None = None,
        dimension: int = 2,
        phases: Sequence[str] = PHASES,
        clock: Any = None,
        seconds: dict[str, float] | None = None,
        further: dict[Metric, Sequence[float]] | None = None,
        **changes: Any,
    ) -> Path:
        """Write a log.

        ``launches`` are pairs of ranks and the iteration before which each ends. ``further``
        has the values of other metrics, in every iteration and at the end.
        """
        own_metrics = (*schema.STEP_METRICS, *(further or {}))
        spec = merge(SPEC, changes)
        rows = spec["iterations"] if status == "complete" else 5
        path = folder / file
        metrics = make_metrics(spec, rows)
        metrics |= {metric.name: np.array(v[:-1]) for metric, v in (further or {}).items()}
        uplink = 300 if spec["compression"]["kind"] != "none" else 1000
        uplink += 8 * COUNT * (dimension - 2)
        refusals = np.zeros((rows, len(schema.REASONS)), dtype=np.int64)
        refusals[:, 0] = metrics["messages_rejected"]
        traffic = {"uplink_bytes": np.full(rows, uplink), "downlink_bytes": np.full(rows, 10)}
        loss = metrics["loss"][0] / 10 if final_loss is None else final_loss
        state = FinalState(
            np.zeros(dimension),
            {"loss": loss, "gradient_norm": 0.0, "distance_to_optimum": 0.0}
            | {metric.name: values[-1] for metric, values in (further or {}).items()},
        )
        first = 0
        for size, stop in launches or [(ranks, rows)]:
            own = slice(first, stop)
            table = make_seconds(rows, size) if clock is None else np.array(clock(rows, size))
            for phase, spent in (seconds or {}).items():
                # NaN where a rank has no such phase.
                table[:, :, phases.index(phase)] *= 0
                table[:, :, phases.index(phase)] += spent
            with LogWriter(
                path,
                header=RunHeader(
                    names or [spec["name"]],
                    tomli_w.dumps(spec),
                    "hash",
                    data_digest,
                    packages,
                    provenance or {},
                ),
                axes=Axes(
                    size,
                    phases,
                    [name for name in phases if name not in APART],
                    WARMUP,
                    own_metrics,
                ),
                dimension=dimension,
                dtype=np.dtype("float64"),
                continuation=Continuation(first) if first else None,
            ) as writer:
                part = {name: values[own] for name, values in metrics.items()}
                sent = {name: values[own] for name, values in traffic.items()}
                writer.append(LogBlock(first, part, refusals[own], table[own], sent))
                if stop < rows:
                    writer.finish("interrupted")
                elif status == "complete":
                    writer.finish(status, state=state)
                else:
                    writer.finish(status, failure="the disk is full" if status == "failed" else "")
            first = stop
        return path

    return write


@pytest.fixture
def accuracies(tmp_path: Path, write_run: Callable[..., Path]) -> Path:
    """Loads 1, 2, 5 and N, three seeds each, whose accuracy rises with the load.

    It is evaluated in every fourth iteration, and falls a little at the end.
    """
    for seed in (1, 2, 3):
        for load in (1, 2, 5, COUNT):
            values = np.full(ITERATIONS + 1, np.nan)
            values[::4] = np.linspace(0.1, 0.9 - 0.4 / load, len(values[::4])) + 0.01 * seed
            values[-1] -= 0.05
            write_run(
                f"lad{load}-{seed}.h5",
                name=f"LAD d={load}",
                seed=seed,
                coding={"load": load},
                further={ACCURACY: values.tolist()},
            )
    return tmp_path / "study"


@pytest.fixture
def study(tmp_path: Path, write_run: Callable[..., Path]) -> Path:
    """Loads 1, 2, 5 and N, two rules, a codec and DRACO, two seeds each."""
    for seed in (1, 2):
        for load in (1, 2, 5, COUNT):
            name = f"LAD d={load}"
            write_run(f"lad{load}-{seed}.h5", name=name, seed=seed, coding={"load": load})
        for load in (2, 5):
            write_run(
                f"nnm{load}-{seed}.h5",
                name=f"LAD-NNM d={load}",
                seed=seed,
                coding={"load": load},
                aggregation={"pre": [{"kind": "nnm"}]},
            )
        write_run(
            f"com-{seed}.h5", name="Com-LAD", seed=seed, compression={"kind": "rand_k", "k": 1}
        )
        draco = {"kind": "draco_repetition"}
        write_run(f"draco-{seed}.h5", name="DRACO", seed=seed, coding=draco)
    return tmp_path / "study"
