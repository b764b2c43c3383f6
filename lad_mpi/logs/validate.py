"""Check a log against the schema."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lad_mpi.errors import LogFormatError
from lad_mpi.logs import contents, schema
from lad_mpi.logs.contents import DAMAGE
from lad_mpi.logs.find import open_log
from lad_mpi.logs.reader import metric_datasets, read_contents
from lad_mpi.metrics import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lad_mpi.logs.log import RunLog

_STEP_METRICS = tuple(map(schema.variable_of, schema.STEP_METRICS))
_ON_ITERATION = {
    "metrics": (schema.ITERATION, *_STEP_METRICS, *schema.COUNTS, schema.REFUSALS),
    "timing": (schema.ITERATION, schema.SECONDS),
    "traffic": (schema.ITERATION, *schema.TRAFFIC),
}
_SCALES = (("timing", schema.RANK), ("timing", schema.PHASE), ("metrics", schema.REASON))
_LOSS = schema.variable_of(schema.MODEL_METRICS[0])
_STATE = (schema.MODEL, _LOSS)


def validate_log(path: Path) -> list[str]:
    """Check a log against the schema, its spec and its status.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of str
        One sentence per problem; empty for a valid log.

    Raises
    ------
    UsageError
        The file does not exist or cannot be read.
    """
    try:
        file = open_log(path)
    except LogFormatError as error:
        return [error.message]
    findings: list[str] = []
    with file:
        try:
            findings.extend(_check_layout(file))
            # The checks below need a log that can be read.
            log = read_contents(path, file)
            findings.extend(itertools.chain(_check_values(file, log), _check_outcome(log)))
        except DAMAGE as error:
            findings.append(str(error))
    return list(dict.fromkeys(findings))


def _check_layout(file: h5py.File) -> Iterator[str]:
    for group, variables in _ON_ITERATION.items():
        for variable in variables:
            yield from _check_dataset(file, group, variable)
    for group, variable in _SCALES:
        yield from _check_dataset(file, group, variable)
    if "state" in file:
        for variable in _STATE:
            yield from _check_dataset(file, "state", variable)
    elif contents.text(file, "status") == "complete":
        yield "the run is complete, but group /state is missing"


def _check_dataset(file: h5py.File, group: str, variable: schema.Variable) -> Iterator[str]:
    name = f"/{group}/{variable.name}"
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        yield f"dataset {name} is missing"
        return
    if dataset.shape is None:
        yield f"dataset {name} is empty"
        return
    if variable.dtype == "str":
        is_valid = h5py.check_string_dtype(dataset.dtype) is not None
    elif variable.dtype:
        is_valid = dataset.dtype == np.dtype(variable.dtype)
    else:
        is_valid = dataset.dtype in (np.float64, np.float32)
    if not is_valid:
        yield f"{name} has dtype {dataset.dtype}, not {variable.dtype or 'float64 or float32'}"
    expected = {"units": variable.units, "long_name": variable.long_name, **variable.attributes}
    if file.attrs["format_version"] < schema.VERSION:
        # Earlier versions have other long names and attributes.
        expected = {"units": variable.units}
    for key, value in expected.items():
        if not np.array_equal(dataset.attrs.get(key, ""), value):
            yield f"{name} has {key} = {dataset.attrs.get(key)!r}, not {value!r}"


def _check_values(file: h5py.File, log: RunLog) -> Iterator[str]:
    rows = log.recorded
    for group in _ON_ITERATION:
        if not np.array_equal(file[group]["iteration"][:rows], np.arange(rows)):
            yield f"/{group}/iteration does not count 0, 1, 2, …"
    yield from _check_metrics(file["metrics"], rows, _evaluate_every(log))
    yield from _check_refusals(log)
    yield from _check_seconds(log)
    for name, values in log.traffic.items():
        if (values < 0).any():
            yield f"/traffic/{name} has negative values"


def _check_metrics(metrics: h5py.Group, rows: int, evaluate_every: int | None) -> Iterator[str]:
    never_negative = {variable.name for variable in (*_STEP_METRICS, *schema.COUNTS)} - {names.LOSS}
    for name, dataset in metric_datasets(metrics).items():
        values = dataset[:rows]
        if np.isinf(values).any():
            yield f"/metrics/{name} has infinite values"
        if name in never_negative and (values < 0).any():
            yield f"/metrics/{name} has negative values"
    if evaluate_every:
        missing = int(np.isnan(metrics[names.LOSS][:rows:evaluate_every]).sum())
        if missing:
            yield (
                f"/metrics/loss is NaN at {missing} of the iterations that "
                f"logging.evaluate_every = {evaluate_every} evaluates"
            )
    status = metrics[names.DECODER_STATUS]
    if not np.isin(status[:rows], status.attrs["flag_values"]).all():
        yield "/metrics/decoder_status has values that are not in flag_values"


def _check_refusals(log: RunLog) -> Iterator[str]:
    if any((counts < 0).any() for counts in log.refusals.values()):
        yield "/metrics/refusals has negative values"
    if not np.array_equal(sum(log.refusals.values()), log.metrics[names.MESSAGES_REJECTED]):
        yield "/metrics/refusals does not add up to messages_rejected"


def _check_seconds(log: RunLog) -> Iterator[str]:
    if np.isinf(log.seconds).any():
        yield "/timing/seconds has infinite values"
    if (log.seconds < 0).any():
        yield "/timing/seconds has negative values"
    training = np.isin(log.phases, log.training_phases)
    untimed = int(np.isnan(log.seconds[:, :, training]).all(axis=(1, 2)).sum())
    if untimed:
        yield f"/timing/seconds has no training time in {untimed} iterations"


def _check_outcome(log: RunLog) -> Iterator[str]:
    if log.status == "failed" and not log.failure:
        yield "the run failed, but the attribute failure is empty"
    if log.status in ("running", "complete") and log.failure:
        yield f"the run is {log.status}, but has the failure {log.failure!r}"
    if log.status != "complete":
        return
    written, expected = log.recorded, log.spec["iterations"]
    if written != expected:
        yield f"the run is complete, but has {written} iterations; its spec asks for {expected}"
    if log.final is None:
        return
    for name, values in (("model", log.final.model), (names.LOSS, log.final.metrics[names.LOSS])):
        if not np.isfinite(values).all():
            yield f"the run is complete, but /state/{name} is not finite"


def _evaluate_every(log: RunLog) -> int | None:
    logging: Any = log.spec.get("logging", {})
    every = logging.get("evaluate_every") if isinstance(logging, dict) else None
    return every if isinstance(every, int) and every > 0 else None
