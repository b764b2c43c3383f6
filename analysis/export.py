"""The table of methods as JSON and CSV, with full precision."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import TYPE_CHECKING, Any

from analysis.table import notes
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.runs import Collection
    from analysis.statistics import Estimate
    from analysis.summary import Summary, TimeSummary
    from analysis.target import Reach, TimeToReach

#: A spreadsheet reads a text that starts with one of these as a formula.
_FORMULA = ("=", "+", "-", "@")


def records(rows: Sequence[Summary], collection: Collection) -> list[dict[str, Any]]:
    """Return flat records with full precision, for each method and for each excluded log.

    A method that was timed under several conditions has a record for each of them. Its errors
    are the same in all these records, so count them once for each ``method``.
    """
    found = [_record(row, time) for row in rows for time in row.times]
    found += [
        {
            "method": log.name or None,
            "status": log.status,
            "reason": log.reason,
            "path": str(log.path),
            "seed": log.seed,
        }
        for log in collection.excluded
    ]
    return found


def to_json(rows: Sequence[Summary], collection: Collection) -> str:
    """Return the records as JSON; NaN and infinity become null."""
    document = {
        "notes": [*notes(rows), *collection.notes, *collection.doubts],
        "records": records(rows, collection),
    }
    return json_text(document)


def to_csv(rows: Sequence[Summary], collection: Collection) -> str:
    """Return the records as CSV; see :func:`csv_text`."""
    return csv_text(records(rows, collection))


def csv_text(table: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV with the columns of all records; missing values are empty.

    Each cell is one line. An apostrophe precedes a text that a spreadsheet would evaluate
    (OWASP, "CSV injection").
    """
    cells = [
        {guarded(column): guarded(value) for column, value in record.items()} for record in table
    ]
    columns = list(dict.fromkeys(column for record in cells for column in record))
    stream = io.StringIO()
    # Quote all texts, in case a spreadsheet expects a separator other than the comma.
    writer = csv.DictWriter(stream, columns, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(cells)
    return stream.getvalue()


def guarded(value: Any) -> Any:
    """Return a text as one line that no spreadsheet evaluates; other values as they are."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _record(row: Summary, time: TimeSummary) -> dict[str, Any]:
    return {
        "method": row.label,
        "status": "complete",
        "seeds": row.seeds,
        "runs": row.runs,
        **_spread("final_loss", row.final_loss),
        **_spread("ratio_to_exact", row.ratio_to_exact),
        "reference": row.reference,
        **_metric_record(row),
        **_spread("dispersion_ratio", row.dispersion_ratio),
        "dispersion_prediction": row.dispersion_prediction,
        "uplink_bytes": row.uplink_bytes,
        "downlink_bytes": row.downlink_bytes,
        "gradients": row.gradients,
        "timed_as": time.label,
        **dataclasses.asdict(time.conditions),
        "timed_seeds": time.seeds,
        "launches": time.launches,
        "after_warmup": time.warm,
        **_spread("iteration_s", time.seconds),
        "iteration_s_mean": time.mean_s,
        **{f"{phase}_s": part.median for phase, part in time.phases.items()},
        **{f"{phase}_s_mean": part.mean for phase, part in time.phases.items()},
        **_target_record(row.to_target, time.to_target),
    }


def _metric_record(row: Summary) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for found in row.metrics:
        name = found.metric.name
        record |= _spread(f"final_{name}", found.final)
        record |= _spread(f"best_{name}", found.best)
        record |= _spread(f"{name}_minus_exact", found.minus_exact)
    return record


def _target_record(target: Reach | None, timed: TimeToReach | None) -> dict[str, Any]:
    if target is None:
        return {}
    return {
        "target_metric": target.target.metric.name,
        "target_value": target.target.value,
        "target_reached": target.reached,
        **_spread("target_iterations", target.iterations),
        **_spread("target_uplink_bytes", target.uplink_bytes),
        "target_timed_seeds": timed.seeds if timed else 0,
        **_spread("target_iteration_s", timed.iteration_s if timed else None),
        **_spread("target_s", timed.seconds if timed else None),
    }


def _spread(name: str, found: Estimate | None) -> Mapping[str, Any]:
    return {
        f"{name}_median": None if found is None else found.median,
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
        f"{name}_coverage": None if found is None else found.coverage,
    }


def json_text(document: Any) -> str:
    """Return a document as JSON with full precision; NaN and infinity become null."""
    return json.dumps(without_nan(document), indent=2, ensure_ascii=False, allow_nan=False)


def without_nan(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
