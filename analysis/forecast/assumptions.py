"""The assumptions of a forecast, and how far it extrapolates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.forecast.workload import TERMS, features
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analysis.forecast.answer import Row
    from analysis.forecast.fit import CostModel
    from analysis.forecast.observe import Measured

#: A size is beyond the measured range if it exceeds its maximum by this factor.
_BEYOND = 1.05
_SIZES = (
    ("ranks", "P"),
    ("load", "d"),
    ("dimension", "Q"),
    ("samples", "samples of a subset in an iteration"),
)


def assumptions(measured: Measured, model: CostModel, rows: Sequence[Row]) -> list[str]:
    """List what the rows assume."""
    said = [*_sizes(measured, rows), *_devices(measured, rows), *_network(measured, rows)]
    said += [*_costs(rows), *_terms(model, rows), *_errors(rows)]
    errors = []
    if any(row.network is None for row in rows):
        errors.append(f"the model errs by {model.error:.0%}")
    if any(row.network is not None for row in rows):
        errors.append(f"without communication the model errs by {model.work_error:.0%}")
    said.append(
        f"{' and '.join(errors)} (root mean square over {model.degrees} cases, each predicted "
        "from the others), and by no more outside the measured range."
    )
    return said


def _sizes(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    for name, letter in _SIZES:
        known = max(float(getattr(case.workload, name)) for case in measured.cases)
        asked = max(float(getattr(row.workload, name)) for row in rows)
        if asked > _BEYOND * known:
            times = f"{_times(asked / known)} times the largest measured, {round(known)}"
            yield f"{letter} = {round(asked)} is {times}."


def _devices(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    known = max(case.workload.devices for case in measured.cases)
    largest = max((row.workload for row in rows), key=lambda w: w.devices)
    if largest.devices > known:
        yield (
            f"N = {largest.devices} devices instead of {known}, so that every rank has one, and "
            f"f = {largest.byzantine} in proportion."
        )


def _network(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    given = list(dict.fromkeys(row.network for row in rows if row.network is not None))
    if given:
        yield (
            f"communication follows the model of {'; '.join(map(str, given))}: a binomial tree, "
            "and one link into the server. Waiting for uneven ranks, the work of MPI and other "
            "traffic are not included. Nothing of it was measured."
        )
        if any(run.spec.get("overlap") for case in measured.cases for run in case.runs):
            yield "no work overlaps with the gather, although it did in the measured runs."
    emulated = sorted({r.emulated_network for case in measured.cases for r in case.runs} - {""})
    if emulated and any(row.network is None for row in rows):
        names = "; ".join(emulated)
        yield f"part of the measured communication is that of emulated networks, {names}."
    known = max(case.workload.ranks for case in measured.cases)
    if any(row.network is None and row.workload.ranks > known for row in rows):
        yield (
            f"communication grows as it did up to P = {known}, on the links of that machine; "
            "use --network for others."
        )


def _costs(rows: Sequence[Row]) -> Iterator[str]:
    kinds = sorted({kind for row in rows for kind in row.workload.undeclared})
    if kinds:
        yield f"{', '.join(kinds)}: no cost is declared, so the work is assumed to grow as N Q."


def _terms(model: CostModel, rows: Sequence[Row]) -> Iterator[str]:
    for term in TERMS:
        told = [row for row in rows if not (term == COMMUNICATION and row.network is not None)]
        used = [
            (features(term, row.workload)[-1], group, model.fits[term, group])
            for row in told
            for group in [row.workload.group(term)]
        ]
        what = list(TERMS[term])[-1]
        above = [x / fit.greatest for x, _, fit in used if x > _BEYOND * fit.greatest > 0]
        below = [x / fit.least for x, _, fit in used if 0 < _BEYOND * x < fit.least]
        if above:
            most = _times(max(above))
            yield f"{term} grows with: {what}; here up to {most} times the largest measured."
        if below:
            least = _times(min(below))
            yield f"{term} falls with: {what}; here to {least} of the smallest measured."
        fixed = [group for _, group, fit in used if fit.proportional]
        if fixed and (above or below):
            groups = "; ".join(dict.fromkeys(fixed))
            yield (
                f"{term} of {groups}: this was not varied, so all of the time is assumed to be "
                "proportional to it, although some of it may be constant."
            )


def _errors(rows: Sequence[Row]) -> Iterator[str]:
    moved = [
        row
        for row in rows
        if row.source is not None
        and (row.source.devices, row.source.dimension)
        != (row.workload.devices, row.workload.dimension)
    ]
    if not moved:
        return
    row = max(moved, key=lambda row: (not math.isnan(_scatter(row)), _scatter(row)))
    old, new = row.source, row.workload
    if old is None:
        return
    more = _scatter(row)
    law = "are no longer equal"
    if math.isfinite(more):
        law = f"scatter {_times(more)} times as much"
    law = f" By the law of the dispersion, honest messages {law} there at d = {round(new.load)}."
    yield (
        f"the iterations to the target at N = {new.devices} and Q = {new.dimension} are those of "
        f"the logs, at N = {old.devices} and Q = {old.dimension}.{'' if math.isnan(more) else law}"
    )


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 100 else f"{factor:.3g}"


def _scatter(row: Row) -> float:
    """Return the expected dispersion of a row over that of the runs its iterations come from.

    NaN if the code has no law.
    """
    if row.source is None:
        return 1.0
    before, after = row.source.scatter, row.workload.scatter
    if before == 0:
        return 1.0 if after == 0 else math.inf
    return after / before
