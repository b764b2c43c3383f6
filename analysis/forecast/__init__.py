"""Forecasts: what measured methods would cost on other ranks and networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.forecast.answer import Comparison, Question, Scenario, answer, compare
from analysis.forecast.model import CostModel, fit_model
from analysis.forecast.observe import Measured, observe, observe_others
from analysis.target import Target, find_target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lad_mpi.spec import Where

__all__ = ["Forecast", "Question", "forecast"]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """A forecast with its model and check.

    Parameters
    ----------
    measured : Measured
        The measured cases.
    model : CostModel
        The model of them.
    scenarios : list of Scenario
        The predictions.
    target : Target or None
        The target, if one was given.
    checked : list of Comparison
        Comparisons with later measurements, if some were given.
    """

    measured: Measured
    model: CostModel
    scenarios: list[Scenario]
    target: Target | None
    checked: list[Comparison]

    @property
    def failed(self) -> list[Comparison]:
        """Comparisons outside their intervals, without oversubscribed ones."""
        return [one for one in self.checked if not one.inside and not one.oversubscribed]


def forecast(
    paths: Sequence[Path],
    question: Question,
    *,
    where: Where | None = None,
    check: Sequence[Path] = (),
) -> Forecast:
    """Predict the costs of the methods in folders.

    Parameters
    ----------
    paths : sequence of Path
        Folders of scaling studies, or logs and folders of logs.
    question : Question
        Ranks, networks and target.
    where : Where, optional
        Use only the runs in ``paths`` that fulfil this condition.
    check : sequence of Path
        Later measurements to compare with their predictions.

    Raises
    ------
    UsageError, LogFormatError
        The logs cannot be used, or the question cannot be answered.
    """
    measured = observe(paths, where)
    runs = [run for method in measured.methods.values() for run in method.runs]
    target = None if question.target is None else find_target(question.target, runs)
    model = fit_model(measured.cases)
    scenarios = answer(measured, model, question, target)
    checked = compare(model, observe_others(check, measured), question) if check else []
    return Forecast(measured, model, scenarios, target, checked)
