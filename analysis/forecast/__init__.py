"""Forecasts: a cost model fitted to measured runs, its check, and predictions elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.forecast.answer import Question, Row, cheapest, predict_rows
from analysis.forecast.assumptions import assumptions
from analysis.forecast.fit import Check, CostModel, fit_model, leave_out_largest
from analysis.forecast.observe import Measured, observe
from analysis.target import Target, find_target
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "Check",
    "CostModel",
    "Forecast",
    "Measured",
    "Question",
    "Row",
    "cheapest",
    "fit_model",
    "forecast",
    "leave_out_largest",
    "observe",
    "predict_rows",
]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """A forecast with its model, check and assumptions.

    Parameters
    ----------
    measured : Measured
        The measured cases.
    model : CostModel
        The model, fitted to all cases.
    check : Check
        Prediction of the largest case by a model that was fitted without it.
    rows : list of Row
        The predictions.
    target : Target or None
        The target, if one was given.
    assumptions : list of str
        What the rows assume.
    """

    measured: Measured
    model: CostModel
    check: Check
    rows: list[Row]
    target: Target | None
    assumptions: list[str]


def forecast(paths: Sequence[Path], question: Question) -> Forecast:
    """Fit the model to the runs in folders, check it, and answer a question.

    Parameters
    ----------
    paths : sequence of Path
        Folders of scaling studies, or logs and folders of logs.
    question : Question
        Sizes, networks and target.

    Raises
    ------
    UsageError, LogFormatError, SpecError
        There are too few cases, or a size or the target is not valid.
    """
    measured = observe(paths)
    runs = [run for members in measured.runs.values() for run in members]
    target = None if question.target is None else find_target(question.target, runs)
    check = leave_out_largest(measured)
    model = fit_model(measured.cases)
    rows = predict_rows(measured, model, question, target)
    if not rows:
        raise UsageError(
            "none of the --ranks can be predicted: communication was measured only on one rank, or "
            "only on several",
            hint="choose --ranks like those measured, or give a --network",
        )
    said = assumptions(measured, model, rows)
    return Forecast(measured, model, check, rows, target, said)
