"""Read a log, also of a run that is running or was killed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import h5py
import numpy as np

from lad_mpi.errors import LogFormatError
from lad_mpi.logs import contents, schema
from lad_mpi.logs.contents import DAMAGE, Members
from lad_mpi.logs.find import open_log
from lad_mpi.logs.lock import is_being_written
from lad_mpi.logs.log import FinalState, Launch, LogBrief, LogHead, RunLog
from lad_mpi.metrics import names
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from lad_mpi.types import HostInts

#: ``failure`` of a run that was killed.
KILLED = "its writer has ended without finishing the log: killed, or out of disk space"
#: ``failure`` of a log with the status ``running`` if its lock cannot be read.
RUNNING_OR_KILLED = "running or killed: the lock of the log cannot be read"

_TABLES = ("metrics", "timing", "traffic")
_BETTER: tuple[Literal["", "lower", "higher"], ...] = ("", "lower", "higher")

_Head = TypeVar("_Head", bound="LogHead")


def read_log(path: Path) -> RunLog:
    """Read a log.

    If the run is still running or was killed, read the iterations that are complete in the
    file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    RunLog

    Raises
    ------
    UsageError
        The file does not exist or cannot be read.
    LogFormatError
        The file is not a log of this suite, is damaged, or has a version that this release
        cannot read.
    """
    return _read_with(path, read_contents)


def read_head(path: Path) -> LogHead:
    """Read only the facts about a run as a whole, which is fast for a log of any size.

    Parameters and errors are the same as for :func:`read_log`.
    """
    return _read_with(path, _read_head)


def read_brief(path: Path, wanted: Collection[str]) -> LogBrief:
    """Read the facts about a run as a whole, and some metrics: less than :func:`read_log`.

    Parameters
    ----------
    path : Path
        The file.
    wanted : collection of str
        Names of metrics. Those that the log does not have are left out.

    Raises
    ------
    UsageError, LogFormatError
        As for :func:`read_log`.
    """
    return _read_with(path, lambda path, file: _read_brief(path, file, wanted))


def _count_rows(tables: Mapping[str, Members], *, is_growing: bool) -> int:
    """Count the iterations that are complete in all datasets of the log.

    Raises
    ------
    ValueError
        The run has ended, but datasets differ in length.
    """
    metrics, timing, traffic = (tables[name] for name in _TABLES)
    scales = [contents.integers(place, schema.ITERATION.name, 1) for place in tables.values()]
    datasets = [*scales, contents.floats(timing, schema.SECONDS.name, 3)]
    datasets += [*metric_datasets(metrics).values()]
    datasets += [contents.integers(metrics, schema.REFUSALS.name, 2)]
    datasets += [contents.integers(traffic, variable.name, 1) for variable in schema.TRAFFIC]
    lengths = [len(dataset) for dataset in datasets]
    rows = min(lengths)
    if not is_growing and max(lengths) > rows:
        named = {dataset.name: len(dataset) for dataset in datasets}
        raise ValueError(f"datasets differ in length: {named}")
    if is_growing:
        # A dataset may have been extended before its rows were written.
        for scale in scales:
            written = scale[:rows] != schema.NO_ITERATION
            rows = rows if written.all() else int(np.argmin(written))
    return rows


def metric_datasets(metrics: Members) -> dict[str, h5py.Dataset]:
    """Return the datasets of ``/metrics`` with one number per iteration, by name.

    Raises
    ------
    ValueError
        A required dataset is missing.
    """
    scales = {schema.ITERATION.name, schema.REASON.name}
    counts = {variable.name for variable in schema.COUNTS}
    found = {
        metric.name: contents.floats(metrics, metric.name, 1) for metric in schema.STEP_METRICS
    }
    found |= {name: contents.integers(metrics, name, 1) for name in counts}
    return found | {
        name: item
        for name, item in metrics.items()
        if isinstance(item, h5py.Dataset)
        and (item.ndim, item.dtype.kind) == (1, "f")
        and name not in scales
    }


def _read_with(path: Path, read: Callable[[Path, h5py.File], _Head]) -> _Head:
    path = Path(path)
    # Check before and after reading: a run may end or start in the meantime.
    unwritten = is_being_written(path) is False
    with open_log(path) as file:
        try:
            found = read(path, file)
        except DAMAGE as error:
            raise LogFormatError(
                f"{path} is damaged or incomplete: {error}",
                hint="lad-mpi validate lists all problems",
            ) from error
    if found.status != schema.STATUSES[0]:
        return found
    written = is_being_written(path)
    if written is None:
        return replace(found, failure=RUNNING_OR_KILLED)
    if unwritten and not written:
        return replace(found, status="interrupted", failure=KILLED)
    return found


def _read_head(path: Path, file: h5py.File) -> LogHead:
    return LogHead(**_head(path, file, _open_tables(file)))


def _read_brief(path: Path, file: h5py.File, wanted: Collection[str]) -> LogBrief:
    tables = _open_tables(file)
    head = _head(path, file, tables)
    datasets = metric_datasets(tables["metrics"])
    state = contents.group(file, "state") if "state" in file else {}
    return LogBrief(
        **head,
        created_s=_seconds_of(contents.text(file, "created")),
        first=contents.integer(contents.group(file, "provenance"), "first_iteration", 0),
        metrics={
            name: np.asarray(datasets[name][: head["recorded"]], dtype=np.float64)
            for name in wanted
            if name in datasets
        },
        final={
            name: float(contents.floats(state, name, 0)[()]) for name in wanted if name in state
        },
    )


def _seconds_of(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _open_tables(file: h5py.File) -> dict[str, Members]:
    return {name: Members(contents.group(file, name)) for name in _TABLES}


def _head(path: Path, file: h5py.File, tables: Mapping[str, Members]) -> dict[str, Any]:
    version = contents.integer(file, "format_version", 0)
    text = {name: contents.text(file, name) for name in schema.TEXT_ATTRIBUTES[version]}
    lists = {name: contents.texts(file, name) for name in schema.LIST_ATTRIBUTES[version]}
    if text["status"] not in schema.STATUSES:
        raise ValueError(f"its status is {text['status']!r}")
    if version == 2:
        suite = contents.group(file, "provenance").attrs.get("lad_mpi_version", "unknown")
        lists = {"names": (text["name"],), "packages": (f"lad_mpi {suite}",)}
        text |= {"identity": text["spec_hash"]}
    return {
        "path": path,
        "spec": contents.parse_spec(text["spec"]),
        "spec_toml": text["spec"],
        "recorded": _count_rows(tables, is_growing=text["status"] == schema.STATUSES[0]),
        "format_version": version,
        "data_digest": text.get("data_digest"),
        **{name: text[name] for name in ("status", "failure", "identity", "uuid", "created")},
        **lists,
    }


def read_contents(path: Path, file: h5py.File) -> RunLog:
    """Read an open log. Damage raises one of :data:`~lad_mpi.logs.contents.DAMAGE`."""
    tables = _open_tables(file)
    head = _head(path, file, tables)
    rows = head["recorded"]
    metrics, timing, traffic = (tables[name] for name in _TABLES)
    seconds = timing[schema.SECONDS.name]
    phases = contents.words(timing, schema.PHASE.name)
    ranks = len(contents.integers(timing, schema.RANK.name, 1))
    if not ranks or seconds.shape[1:] != (ranks, len(phases)):
        raise ValueError(
            f"{seconds.name} has shape {seconds.shape}, not (iteration, {ranks}, {len(phases)})"
        )
    training_phases = contents.texts(seconds, "training_phases")
    if not set(training_phases) <= set(phases):
        raise ValueError(f"training_phases {training_phases} are not all in {phases}")
    times_s = seconds[:rows]
    if np.isinf(times_s).any():
        raise ValueError(f"{seconds.name} has infinite values")
    datasets = metric_datasets(metrics)
    iteration = metrics[schema.ITERATION.name][:rows]
    if not np.array_equal(iteration, np.arange(rows)):
        raise ValueError("/metrics/iteration does not count 0, 1, 2, …")
    return RunLog(
        **head,
        iteration=iteration,
        metrics={name: dataset[:rows] for name, dataset in datasets.items()},
        metric_info={name: _read_metric(name, dataset) for name, dataset in datasets.items()},
        refusals=_read_refusals(metrics, rows),
        seconds=times_s,
        phases=phases,
        training_phases=training_phases,
        warmup_iterations=contents.integer(seconds, "warmup_iterations", 0),
        launches=_read_launches(file, rows, ranks),
        traffic={v.name: traffic[v.name][:rows] for v in schema.TRAFFIC},
        final=_read_final(file),
    )


def _read_refusals(metrics: Members, rows: int) -> dict[str, HostInts]:
    refusals = metrics[schema.REFUSALS.name]
    reasons = contents.words(metrics, schema.REASON.name)
    if refusals.shape[1] != len(reasons):
        raise ValueError(f"{refusals.name} has shape {refusals.shape}, not (iteration, reason)")
    counts = refusals[:rows]
    return {reason: counts[:, column] for column, reason in enumerate(reasons)}


def _read_final(file: h5py.File) -> FinalState | None:
    if "state" not in file:
        return None
    state = Members(contents.group(file, "state"))
    # The loss is required.
    others = [name for name, item in state.items() if _is_number(item) and name != "model"]
    found = dict.fromkeys([names.LOSS, *others])
    values = {name: float(contents.floats(state, name, 0)[()]) for name in found}
    return FinalState(contents.model(file), values)


def _is_number(item: h5py.Group | h5py.Dataset) -> bool:
    return isinstance(item, h5py.Dataset) and (item.shape, item.dtype.kind) == ((), "f")


def _read_metric(name: str, dataset: h5py.Dataset) -> Metric:
    about = {key: str(dataset.attrs.get(key, "")) for key in ("units", "long_name", "better")}
    # Format 2 does not have the attribute "better".
    known = {metric.name: metric.better for metric in schema.STEP_METRICS}
    stated = about["better"] or known.get(name, "")
    better = next((way for way in _BETTER if way == stated), _BETTER[0])
    return Metric(name, about["units"] or "1", about["long_name"] or name, better)


def _read_launches(file: h5py.File, rows: int, ranks: int) -> tuple[Launch, ...]:
    launches: list[Launch] = []
    stop = rows
    # Go backwards: a launch stops at the earliest first iteration of all later launches.
    for place in reversed(contents.launch_groups(file)):
        record = contents.provenance(place)
        if record["mpi_ranks"] > ranks:
            raise ValueError(f"{place.name} had {record['mpi_ranks']} ranks, the log has {ranks}")
        first = min(record["first_iteration"], stop)
        launches.insert(0, Launch(first, stop, record["mpi_ranks"], record))
        stop = first
    return tuple(launches)
