"""Checking a log against the schema."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lad_mpi.errors import LogFormatError
from lad_mpi.logs import schema
from lad_mpi.logs.reader import DAMAGE, count_rows, metric_datasets, open_log

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    """Check a log against the schema and against what it says of itself.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of str
        What is wrong, a sentence each; empty where nothing is.

    Raises
    ------
    UsageError
        There is no such file.
    """
    try:
        file = open_log(path)
    except LogFormatError as error:
        return [error.message]
    findings: list[str] = []
    with file:
        try:
            findings.extend(itertools.chain(_check_attributes(file), _check_layout(file)))
            if not findings:
                findings.extend(itertools.chain(_check_values(file), _check_outcome(file)))
        except DAMAGE as error:
            findings.append(f"the rest cannot be checked: {error}")
    return findings


def _check_attributes(file: h5py.File) -> Iterator[str]:
    version = int(file.attrs["format_version"])
    for name in schema.TEXT_ATTRIBUTES[version]:
        if not isinstance(file.attrs.get(name), str):
            yield f"root attribute {name} is missing or not text"
    for name in schema.LIST_ATTRIBUTES[version]:
        if not _is_list_of_text(file.attrs.get(name)):
            yield f"root attribute {name} is missing or not a list of text"
    status = file.attrs.get("status")
    if not isinstance(status, str) or status not in schema.STATUSES:
        yield f"status is {status!r}, which is none of {', '.join(schema.STATUSES)}"
    try:
        tomllib.loads(str(file.attrs.get("spec", "")))
    except tomllib.TOMLDecodeError as error:
        yield f"root attribute spec is not TOML: {error}"
    provenance = file.get("provenance")
    if not isinstance(provenance, h5py.Group):
        yield "group /provenance is missing"
        return
    for group in (provenance, *provenance.values()):
        for name, least in (("first_iteration", 0), ("mpi_ranks", 1)):
            value = group.attrs.get(name)
            if not isinstance(value, np.integer) or value < least:
                yield f"attribute {name} of {group.name} is missing or not a number from {least} on"


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0 and value.dtype.kind == "O"


def _check_layout(file: h5py.File) -> Iterator[str]:
    for group, variables in _ON_ITERATION.items():
        for variable in variables:
            yield from _check_dataset(file, group, variable)
    for group, variable in _SCALES:
        yield from _check_dataset(file, group, variable)
    if "state" in file:
        for variable in _STATE:
            yield from _check_dataset(file, "state", variable)
    elif file.attrs.get("status") == "complete":
        yield "the run is complete, but group /state is missing"
    seconds = file.get("timing/seconds")
    if isinstance(seconds, h5py.Dataset):
        yield from _check_timing_attributes(file, seconds)


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
        right = h5py.check_string_dtype(dataset.dtype) is not None
    elif variable.dtype:
        right = dataset.dtype == np.dtype(variable.dtype)
    else:
        right = dataset.dtype in (np.float64, np.float32)
    if not right:
        yield f"{name} is of dtype {dataset.dtype}, not {variable.dtype or 'float64 or float32'}"
    expected = {"units": variable.units, "long_name": variable.long_name, **variable.attributes}
    if file.attrs["format_version"] < schema.VERSION:
        # Earlier versions describe some datasets in other words.
        expected = {"units": variable.units}
    for key, value in expected.items():
        if not np.array_equal(dataset.attrs.get(key, ""), value):
            yield f"{name} has {key} = {dataset.attrs.get(key)!r}, not {value!r}"


def _check_timing_attributes(file: h5py.File, seconds: h5py.Dataset) -> Iterator[str]:
    training = seconds.attrs.get("training_phases")
    if training is None:
        yield "/timing/seconds has no attribute training_phases"
    elif isinstance(file.get("timing/phase"), h5py.Dataset):
        for name in set(map(str, training)) - set(file["timing/phase"].asstr()[:]):
            yield f"/timing/seconds counts {name!r} as training, which is not among the phases"
    if not isinstance(seconds.attrs.get("warmup_iterations"), np.integer):
        yield "/timing/seconds has no attribute warmup_iterations"


def _check_values(file: h5py.File) -> Iterator[str]:
    try:
        rows = count_rows(file)
    except ValueError as error:
        yield str(error)
        return
    for group in _ON_ITERATION:
        if not np.array_equal(file[group]["iteration"][:rows], np.arange(rows)):
            yield f"/{group}/iteration does not count 0, 1, 2, …"
    yield from _check_metrics(file["metrics"], rows, _evaluate_every(file))
    yield from _check_refusals(file["metrics"], rows)
    yield from _check_seconds(file, rows)
    for variable in schema.TRAFFIC:
        if (file["traffic"][variable.name][:rows] < 0).any():
            yield f"/traffic/{variable.name} has negative values"


def _check_metrics(metrics: h5py.Group, rows: int, evaluate_every: int | None) -> Iterator[str]:
    never_negative = {variable.name for variable in (*_STEP_METRICS, *schema.COUNTS)} - {"loss"}
    for name, dataset in metric_datasets(metrics).items():
        values = dataset[:rows]
        if np.isinf(values).any():
            yield f"/metrics/{name} has infinite values"
        if name in never_negative and (values < 0).any():
            yield f"/metrics/{name} has negative values"
    if evaluate_every:
        missing = int(np.isnan(metrics["loss"][:rows:evaluate_every]).sum())
        if missing:
            yield (
                f"/metrics/loss is NaN at {missing} of the iterations that "
                f"logging.evaluate_every = {evaluate_every} evaluates"
            )
    status = metrics["decoder_status"]
    if not np.isin(status[:rows], status.attrs["flag_values"]).all():
        yield "/metrics/decoder_status has values that flag_values does not explain"


def _check_refusals(metrics: h5py.Group, rows: int) -> Iterator[str]:
    refusals = metrics[schema.REFUSALS.name]
    if refusals.shape[1:] != (len(metrics[schema.REASON.name]),):
        yield f"/metrics/refusals has shape {refusals.shape}, not (iteration, reason)"
        return
    counts = refusals[:rows]
    if (counts < 0).any():
        yield "/metrics/refusals has negative values"
    if not np.array_equal(counts.sum(axis=1), metrics["messages_rejected"][:rows]):
        yield "/metrics/refusals does not add up to messages_rejected"


def _check_seconds(file: h5py.File, rows: int) -> Iterator[str]:
    dataset = file["timing/seconds"]
    width = (len(file["timing/rank"]), len(file["timing/phase"]))
    if dataset.shape[1:] != width:
        yield f"/timing/seconds has shape {dataset.shape}, not (iteration, {width[0]}, {width[1]})"
        return
    seconds = dataset[:rows]
    if np.isinf(seconds).any():
        yield "/timing/seconds has infinite values"
    if (seconds < 0).any():
        yield "/timing/seconds has negative values"
    training = np.isin(file["timing/phase"].asstr()[:], list(dataset.attrs["training_phases"]))
    untimed = int(np.isnan(seconds[:, :, training]).all(axis=(1, 2)).sum())
    if untimed:
        yield f"/timing/seconds has no training time at all at {untimed} iterations"


def _check_outcome(file: h5py.File) -> Iterator[str]:
    status, failure = file.attrs["status"], file.attrs["failure"]
    if status == "failed" and not failure:
        yield "the run failed, but does not say why"
    if status in ("running", "complete") and failure:
        yield f"the run is {status}, but gives the failure {failure!r}"
    if status != "complete":
        return
    expected = tomllib.loads(file.attrs["spec"]).get("iterations")
    written = len(file["metrics/iteration"])
    if written != expected:
        yield f"the run is complete, but has {written} iterations; its spec asks for {expected}"
    for variable in _STATE:
        if not np.isfinite(file["state"][variable.name][()]).all():
            yield f"the run is complete, but /state/{variable.name} is not finite"


def _evaluate_every(file: h5py.File) -> int | None:
    logging: Any = tomllib.loads(file.attrs["spec"]).get("logging", {})
    every = logging.get("evaluate_every") if isinstance(logging, dict) else None
    return every if isinstance(every, int) else None
