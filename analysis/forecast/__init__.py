"""A cost model fitted on measured runs, checked, and taken to other sizes and networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.forecast.answer import Question, Row, Target, answer, cheapest
from analysis.forecast.assumptions import assumptions
from analysis.forecast.fit import Check, CostModel, fit_model, leave_out_largest
from analysis.forecast.observe import Measured, observe
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
    "Target",
    "answer",
    "cheapest",
    "fit_model",
    "forecast",
    "leave_out_largest",
    "observe",
]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """All that is said of a study.

    Parameters
    ----------
    measured : Measured
        What it starts from.
    model : CostModel
        Fitted on all cases.
    check : Check
        Of a model fitted without the largest.
    rows : list of Row
        What was asked for.
    target : Target or None
        The error that was asked for.
    assumptions : list of str
        What the rows take for granted.
    """

    measured: Measured
    model: CostModel
    check: Check
    rows: list[Row]
    target: Target | None
    assumptions: list[str]


def forecast(paths: Sequence[Path], question: Question) -> Forecast:
    """Fit the model on the runs in folders, check it, and answer a question.

    Parameters
    ----------
    paths : sequence of Path
        Folders that ``lad-mpi scale`` wrote, or logs and folders of logs.
    question : Question
        Sizes, networks and target.

    Raises
    ------
    UsageError, LogFormatError, SpecError
        There are too few cases, or a size makes no run.
    """
    measured = observe(paths)
    check = leave_out_largest(measured)
    model = fit_model(measured.cases)
    rows = answer(measured, model, question)
    if not rows:
        raise UsageError(
            "one rank and several have communication of their own, and only one was measured",
            hint="ask for ranks like those measured, or give a --network",
        )
    said = assumptions(measured, model, rows)
    return Forecast(measured, model, check, rows, question.target, said)
