"""Whether the model predicts the largest measured case without having seen it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.forecast.fit import fit_model

if TYPE_CHECKING:
    from analysis.forecast.interval import Interval
    from analysis.forecast.observe import Case, Measured


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A case that was left out of the fit.

    Parameters
    ----------
    case : Case
        The largest that the others cover.
    predicted : Interval
        Its time of an iteration, in seconds, as the others predict it.
    """

    case: Case
    predicted: Interval

    @property
    def passed(self) -> bool:
        """Whether the measured time is in the interval."""
        return self.predicted.holds(self.case.total_s)


def leave_out_largest(measured: Measured) -> Check:
    """Fit the model on all cases but the largest, and predict that one."""
    largest = measured.largest
    model = fit_model([case for case in measured.cases if case is not largest])
    return Check(largest, model.predict(largest.workload).seconds)
