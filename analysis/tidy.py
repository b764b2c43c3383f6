"""Tidy tables of runs and of iterations, for pandas, polars and spreadsheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa  # noqa: F401  (so that a missing one is noticed before the logs are read)
from pandas.api.types import pandas_dtype

from analysis.export import guarded
from analysis.keys import facts_of
from analysis.metrics import best_value, final_value, known_metrics
from analysis.quantities import cost_quantities
from analysis.timing import iteration_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from analysis.runs import Excluded
    from lad_mpi.logs import RunLog

_WHOLE = (int, np.int64)
#: Types of values, and the type of a column with only such values.
_TYPES = (
    ((bool, np.bool_), "boolean"),
    (_WHOLE, "Int64"),
    ((*_WHOLE, float, np.float64), "float64"),
    ((str,), "string"),
)


def runs_table(runs: Sequence[RunLog], unreadable: Sequence[Excluded]) -> pd.DataFrame:
    """Return one row for each log, also of runs that are not complete.

    Parameters
    ----------
    runs : sequence of RunLog
        The runs.
    unreadable : sequence of Excluded
        Logs that cannot be read, with the reason.

    Returns
    -------
    DataFrame
        Columns: ``path``, ``status``, ``failure``, ``uuid``, ``iterations_done``; every key of
        the specs; ``final.METRIC`` and ``best.METRIC``; times ``…_s`` and traffic ``…_bytes``
        of an iteration; ``provenance.KEY`` of the last launch.
    """
    metrics, costs = known_metrics(runs), cost_quantities(runs)
    rows: list[dict[str, Any]] = []
    for run in runs:
        row = {
            "path": str(run.path),
            "status": run.status,
            "failure": run.failure,
            "uuid": run.uuid,
            "iterations_done": run.recorded,
            **facts_of(run),
        }
        if run.recorded:
            row |= {f"final.{name}": final_value(run, name) for name in metrics}
            row |= {f"best.{m.name}": best_value(run, m) for m in metrics.values() if m.better}
            row |= {name: quantity.measure(run) for name, quantity in costs.items()}
        last = run.launches[-1].provenance
        row |= {f"provenance.{key}": _text(value) for key, value in last.items()}
        rows.append(row)
    rows += [
        {"path": str(log.path), "status": log.status, "failure": log.reason} for log in unreadable
    ]
    return _uniform(pd.DataFrame(rows, dtype=object))


def iterations_table(runs: Sequence[RunLog]) -> pd.DataFrame:
    """Return one row for each iteration of each run.

    Returns
    -------
    DataFrame
        Columns: ``uuid``, ``name``, ``seed``, ``iteration``, ``is_warm``; every metric, empty
        if an iteration was not evaluated; ``training_s``; the traffic in bytes.
    """
    tables = [
        pd.DataFrame(
            {
                "uuid": run.uuid,
                "name": run.name,
                "seed": run.spec["seed"],
                "iteration": run.iteration,
                "is_warm": np.asarray(run.is_warm()),
                **run.metrics,
                "training_s": iteration_seconds(run),
                **run.traffic,
            }
        )
        for run in runs
    ]
    return pd.concat(tables, ignore_index=True)


def write_table(table: pd.DataFrame, path: Path, kind: str) -> None:
    """Write a table as Parquet or CSV.

    Parameters
    ----------
    table : DataFrame
        The table.
    path : Path
        The file; an existing one is replaced.
    kind : {"parquet", "csv"}
        The format. In CSV, an apostrophe precedes a text that a spreadsheet would evaluate.
    """
    if kind == "parquet":
        table.to_parquet(path, index=False)
        return
    table.map(guarded).to_csv(path, index=False)


def _text(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _uniform(table: pd.DataFrame) -> pd.DataFrame:
    """Give each column of objects one type; integers, booleans and texts may have gaps."""
    for name, column in table.items():
        values = column.dropna()
        dtype = next((dtype for kinds, dtype in _TYPES if values.map(type).isin(kinds).all()), None)
        table[name] = (
            column.map(str, na_action="ignore")
            if dtype is None
            else column.astype(pandas_dtype(dtype))
        )
    return table
