"""What a forecast takes for granted, and how far it is from what was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.forecast.workload import COMMUNICATION, TERMS, features

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analysis.forecast.answer import Row
    from analysis.forecast.fit import CostModel
    from analysis.forecast.observe import Measured

#: Sizes that lie this much above the greatest measured one are beyond it.
_BEYOND = 1.05
_SIZES = (("ranks", "P"), ("load", "d"), ("dimension", "Q"), ("samples", "samples a subset"))


def assumptions(measured: Measured, model: CostModel, rows: Sequence[Row]) -> list[str]:
    """List what the rows assume, one sentence or two each."""
    said = [*_sizes(measured, rows), *_devices(measured, rows), *_network(measured, rows)]
    said += [*_costs(rows), *_terms(model, rows), *_errors(rows)]
    errors = []
    if any(row.network is None for row in rows):
        errors.append(f"the model errs by {model.error:.0%}")
    if any(row.network is not None for row in rows):
        errors.append(f"without communication the model errs by {model.work_error:.0%}")
    said.append(
        f"{' and '.join(errors)} (root mean square over {model.degrees} cases, each predicted "
        "from the others), and no more where it extrapolates."
    )
    return said


def _sizes(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    for name, letter in _SIZES:
        known = max(float(getattr(case.workload, name)) for case in measured.cases)
        asked = max(float(getattr(row.workload, name)) for row in rows)
        if asked > _BEYOND * known:
            times = _times(asked / known)
            yield f"{letter} = {round(asked)} is {times} times the most measured, {round(known)}."


def _devices(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    known = max(case.workload.devices for case in measured.cases)
    largest = max((row.workload for row in rows), key=lambda w: w.devices)
    if largest.devices > known:
        yield (
            f"N = {largest.devices} devices where {known} were measured, so that every rank has "
            f"one, and in proportion f = {largest.byzantine}."
        )


def _network(measured: Measured, rows: Sequence[Row]) -> Iterator[str]:
    given = list(dict.fromkeys(row.network for row in rows if row.network is not None))
    if given:
        yield (
            f"communication is that of {'; '.join(map(str, given))} alone: a binomial tree, and "
            "one link into the server. Waiting for uneven ranks, the work of MPI, and other "
            "traffic are not in it, and nothing of it was measured."
        )
        if any(run.spec.get("overlap") for case in measured.cases for run in case.runs):
            yield "all of the gather is waited for, although work was overlapped with it."
    emulated = sorted({r.emulated_network for case in measured.cases for r in case.runs} - {""})
    if emulated and any(row.network is None for row in rows):
        names = "; ".join(emulated)
        yield f"communication as measured is in part that of emulated networks, {names}."
    known = max(case.workload.ranks for case in measured.cases)
    if any(row.network is None and row.workload.ranks > known for row in rows):
        yield (
            f"communication goes on as it was measured up to P = {known}, on the links of that "
            "machine; say which others with --network."
        )


def _costs(rows: Sequence[Row]) -> Iterator[str]:
    kinds = sorted({kind for row in rows for kind in row.workload.undeclared})
    if kinds:
        yield f"{', '.join(kinds)}: no cost is declared, and the work is taken to grow as N Q."


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
            yield f"{term} grows with: {what}; here up to {most} times the most measured."
        if below:
            yield f"{term} falls with: {what}; here to {_times(min(below))} of the least measured."
        fixed = [group for _, group, fit in used if fit.proportional]
        if fixed and (above or below):
            groups = "; ".join(dict.fromkeys(fixed))
            yield (
                f"{term} of {groups}: that was not varied, so all time is taken to be in "
                "proportion to it, although some of it may be constant."
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
    law = ", which were all alike, scatter there"
    if math.isfinite(more):
        law = f" scatter {_times(more)} times as much there"
    law = f" By the law of the dispersion honest messages{law} at d = {round(new.load)}."
    yield (
        "iterations to the target are taken over from the logs, of "
        f"N = {old.devices} and Q = {old.dimension}, to N = {new.devices} and "
        f"Q = {new.dimension}.{'' if math.isnan(more) else law}"
    )


def _times(factor: float) -> str:
    return f"{factor:.0f}" if factor >= 100 else f"{factor:.3g}"


def _scatter(row: Row) -> float:
    """Return the expected dispersion of a row over that of the runs its errors are from.

    NaN if the code has no law.
    """
    if row.source is None:
        return 1.0
    before, after = row.source.scatter, row.workload.scatter
    if before == 0:
        return 1.0 if after == 0 else math.inf
    return after / before
