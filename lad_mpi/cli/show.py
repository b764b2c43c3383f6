"""``lad-mpi show`` and ``lad-mpi validate``."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.cli.tables import print_json, print_table
from lad_mpi.errors import ExitCode, LadError, UsageError
from lad_mpi.logs import (
    find_logs,
    is_foreign,
    list_files,
    read_brief,
    read_head,
    read_log,
    validate_log,
)
from lad_mpi.metrics import names
from lad_mpi.spec import is_study, load_spec, read_toml
from lad_mpi.study import load_study
from lad_mpi.study.watch import WATCHED
from lad_mpi.text import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.logs import RunLog

_SHOWN_PROVENANCE = (
    "hosts",
    "processes",
    "mpi_library",
    "mpi_ranks",
    "oversubscribed",
    "emulated_network",
    "data_reading",
    "remarks",
    "cpu_model",
    "devices",
    "gpu_transfers",
    "gpu_transfers_reason",
    "blas",
    "git_revision",
    "command",
)
#: Status of a log that cannot be read, as in `study status`.
_DAMAGED = "damaged"


def show(options: argparse.Namespace) -> ExitCode:
    """Summarise one log, or list several."""
    if len(options.logs) > 1 or options.logs[0].is_dir():
        return _list_logs(options)
    log = read_log(options.logs[0])
    if options.spec:
        sys.stdout.write(log.spec_toml)
        return ExitCode.OK
    summary = summarise(log)
    if options.json:
        print_json(summary)
        return ExitCode.OK
    width = max(len(key) for key in summary)
    for key, value in summary.items():
        sys.stdout.write(f"{key:<{width}}  {one_line(_readable(value))}\n")
    return ExitCode.OK


def _list_logs(options: argparse.Namespace) -> ExitCode:
    if options.spec:
        raise UsageError("--spec prints the spec of one log", hint="name a single file")
    rows = [
        row
        for path, is_named in list_files(options.logs).items()
        if (row := _row(path))["status"] != _DAMAGED or is_named or not is_foreign(path)
    ]
    if not rows:
        raise _no_logs(options.logs)
    unreadable = sum(row["status"] == _DAMAGED for row in rows)
    if options.json:
        print_json(rows)
        return ExitCode.FAILED if unreadable else ExitCode.OK
    columns = {"name": "run", "seed": "seed", "status": "status", "iterations": "iterations"}
    # The accuracy on the training samples only stands in for that on test samples.
    columns |= {key: key for key in WATCHED[:2] if any(key in row for row in rows)}
    if any(WATCHED[2] in row and WATCHED[1] not in row for row in rows):
        columns[WATCHED[2]] = WATCHED[2]
    readable = [row for row in rows if row["status"] != _DAMAGED]
    shown = [{key: _readable(row.get(key)) for key in columns} for row in readable]
    if shown:
        print_table(shown, columns=columns, right=("seed", "iterations", *WATCHED))
    for row in rows:
        if row["failure"]:
            # The message about a damaged log begins with its path.
            place = "" if row["status"] == _DAMAGED else f"{row['log']}: {row['status']}: "
            sys.stdout.write(one_line(place + row["failure"]) + "\n")
    counts = Counter(row["status"] for row in rows)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    sys.stdout.write(f"{len(rows)} logs: {summary}\n")
    return ExitCode.FAILED if unreadable else ExitCode.OK


def _row(path: Path) -> dict[str, Any]:
    """Return a summary of one log in a list; a damaged log has only a reason."""
    try:
        log = read_brief(path, WATCHED)
    except LadError as error:
        status = {"status": _DAMAGED, "failure": error.message, "log": str(path)}
        return {"name": None, "seed": None, "iterations": None, **status}
    return {
        "name": " = ".join(log.names),
        "seed": log.spec.get("seed"),
        "iterations": f"{log.recorded}/{log.spec.get('iterations')}",
        "status": log.status,
        "failure": log.failure or None,
        "log": str(path),
        **{key: _number(value) for key, value in log.latest().items()},
    }


def _no_logs(paths: Sequence[Path]) -> UsageError:
    return UsageError(
        f"no logs in {', '.join(map(str, paths))}",
        hint="folders are searched for the *.h5 files of runs; specs and studies (*.toml) must be "
        "named",
    )


def summarise(log: RunLog) -> dict[str, Any]:
    """Return a summary of a log as plain values."""
    rows = len(log.iteration)
    launches = [launch for launch in log.launches if launch.first < launch.stop]
    # Times belong to a launch. These are the times of the last one.
    last = slice(launches[-1].first, launches[-1].stop) if launches else slice(0)
    seconds = log.training_seconds()[last][log.is_warm()[last]]
    summary: dict[str, Any] = {
        "name": _unique(log.names),
        "status": log.status,
        "failure": log.failure or None,
        "seed": log.spec.get("seed"),
        "iterations": f"{rows} of {log.spec.get('iterations')}",
        "final_loss": None if log.final is None else _number(log.final.metrics[names.LOSS]),
        **_final_scores(log),
        "s_per_iteration_median": (float(np.median(seconds)) if seconds.size else None),
        "uplink_bytes_per_iteration": int(log.traffic[names.UPLINK_BYTES][0]) if rows else None,
        "downlink_bytes_per_iteration": int(log.traffic[names.DOWNLINK_BYTES][0]) if rows else None,
        "messages_rejected": int(log.metrics[names.MESSAGES_REJECTED].sum()),
        "refusals": [f"{n} {why}" for why, n in total_refusals(log).items()] or None,
        "launches": [
            f"iterations {launch.first} to {launch.stop - 1}, P = {launch.ranks}"
            for launch in launches
        ],
        "identity": log.identity,
        "data_digest": "unknown" if log.data_digest is None else log.data_digest or None,
        "packages": list(log.packages),
        "uuid": log.uuid,
    }
    known = {key: log.provenance[key] for key in _SHOWN_PROVENANCE if key in log.provenance}
    if known.get("gpu_transfers") == "none":
        known = {key: value for key, value in known.items() if not key.startswith("gpu_")}
    return {**summary, **{key: _unique(value) for key, value in known.items()}}


def _final_scores(log: RunLog) -> dict[str, float | None]:
    """Return what the final model scores on the test samples, if there are any."""
    metrics = {} if log.final is None else log.final.metrics
    scores = {name: value for name, value in metrics.items() if name.startswith(names.on_test(""))}
    return {f"final_{name}": _number(value) for name, value in scores.items()}


def total_refusals(log: RunLog) -> dict[str, int]:
    """Return the number of refused messages by reason, without zeros."""
    totals = {reason: int(counts.sum()) for reason, counts in log.refusals.items()}
    return {reason: total for reason, total in totals.items() if total}


def validate(options: argparse.Namespace) -> ExitCode:
    """Check logs, specs and studies."""
    named = {path for path in options.files if not path.is_dir()}
    folders = [path for path in options.files if path not in named]
    found = find_logs(folders)
    if folders and not found:
        raise _no_logs(folders)
    findings = {
        path: _check(path)
        for path in dict.fromkeys([*options.files, *found])
        if path not in folders
    }
    invalid = sum(map(bool, findings.values()))
    if options.json:
        print_json({str(path): lines for path, lines in findings.items()})
        return ExitCode.FAILED if invalid else ExitCode.OK
    for path, lines in findings.items():
        count = f"{len(lines)} finding{'s' if len(lines) > 1 else ''}"
        verdict = count if lines else f"valid{_unfinished(path)}"
        # The valid logs of a folder are only counted.
        if path in named or verdict != "valid":
            sys.stdout.write(one_line(f"{path}: {verdict}") + "\n")
            sys.stdout.writelines(f"  {one_line(finding)}\n" for finding in lines)
    if len(findings) > 1:
        sys.stdout.write(f"{len(findings)} files: {len(findings) - invalid} valid, ")
        sys.stdout.write(f"{invalid} with findings\n")
    return ExitCode.FAILED if invalid else ExitCode.OK


def _check(path: Path) -> list[str]:
    try:
        if path.suffix != ".toml":
            return validate_log(path)
        mapping = read_toml(path)
        if is_study(mapping):
            load_study(path)
        else:
            load_spec(path)
    except LadError as error:
        return [str(error)]
    return []


def _unfinished(path: Path) -> str:
    """Return how far an incomplete log got; empty if it is complete."""
    if path.suffix == ".toml":
        return ""
    try:
        log = read_head(path)
    except LadError as error:
        # It was removed or replaced in the meantime.
        return f", but then {error.message}"
    if log.status == "complete":
        return ""
    done = f", {log.status} after {log.recorded} of {log.spec.get('iterations')} iterations"
    return f"{done} ({log.failure})" if log.status == "running" and log.failure else done


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _unique(value: Any) -> Any:
    items = [str(item) for item in value] if isinstance(value, (list, tuple)) else [value]
    distinct = list(dict.fromkeys(items))
    return distinct[0] if len(distinct) == 1 else distinct


def _readable(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)
