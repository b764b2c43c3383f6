"""Rank methods by what they spend until they reach a target."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from analysis.export import csv_text, json_text
from analysis.grid import NEVER
from analysis.layout import make_table, print_left_out, print_lines
from analysis.marks import mark, time_notes
from analysis.metrics import best_value
from analysis.quantities import spent_on
from analysis.statistics import CONFIDENCE, Estimate, estimate, estimate_over, least_count
from analysis.text import NOTHING, significant, with_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.facts import Conditions
    from analysis.methods import Method, TimedLaunches
    from analysis.quantities import Quantity
    from analysis.runs import Collection
    from analysis.target import Target

#: What can be spent, the most wanted first.
COSTS = ("seconds", "uplink_bytes", "gradients", "iterations")


@dataclass(frozen=True, slots=True)
class Contender:
    """A method, and what it spends until it reaches a target.

    Parameters
    ----------
    label : str
        Label of the method, with the conditions if it was timed under several.
    conditions : Conditions
        How it was timed.
    seeds, reached : int
        Number of seeds, and of those that reach the target.
    best : Estimate
        The best value of the metric, over seeds.
    costs : dict of Estimate
        By the names of :data:`COSTS`, over seeds; infinite for a seed that does not reach the
        target. Without ``seconds`` if no run was timed from its start to its end under these
        conditions.
    rank : int or None
        1 + the number of methods that are cheaper beyond their intervals. None if the median
        is infinite.
    """

    label: str
    conditions: Conditions
    seeds: int
    reached: int
    best: Estimate
    costs: dict[str, Estimate]
    rank: int | None = None


def find_cheapest(collection: Collection, target: Target, by: str) -> list[Contender]:
    """Return all methods with the metric of a target, the cheapest first.

    Parameters
    ----------
    collection : Collection
        The runs.
    target : Target
        The target.
    by : str
        One of :data:`COSTS`.
    """
    quantities = {cost: spent_on(cost, target) for cost in COSTS}
    found = [
        _contender(method, timing, target, quantities)
        for method in collection.methods
        for timing in method.timings
        if any(target.metric.name in run.metrics for run in method.runs)
    ]
    found.sort(key=lambda one: (_cost(one, by), -one.reached, one.label))
    return [_ranked(one, found, by) for one in found]


def print_ranking(
    found: Sequence[Contender], target: Target, by: str, collection: Collection
) -> None:
    """Print the ranking for a terminal of any width."""
    from lad_mpi.console import open_console  # noqa: PLC0415  (JSON does not need it)

    console = open_console()
    ranked = [one for one in found if one.rank is not None]
    titles = ("method", "rank", *(_title(cost) for cost in _columns(by)), "seeds")
    body = []
    for one in ranked:
        texts = [_texts(cost, one.costs.get(cost)) for cost in _columns(by)]
        name = one.label + mark(one.conditions)
        body.append((name, str(one.rank), *(text[0] for text in texts), _seeds(one)))
        if any(text[1] for text in texts):
            body.append(("", "", *(text[1] for text in texts), ""))
    if ranked:
        console.print(make_table(f"Cost of {target}, by {_title(by)}", titles, body))
    rest = [one for one in found if one.rank is None]
    if rest:
        lines = [(one.label, significant(one.best.median, 4), _seeds(one)) for one in rest]
        console.print()
        console.print(
            make_table(f"Not reached: {target}", ("method", "best value", "seeds"), lines)
        )
    console.print()
    print_lines(console, [*notes_of(found), *collection.doubts])
    print_left_out(console, collection.describe_excluded())


def notes_of(found: Sequence[Contender]) -> list[str]:
    """Explain how to read the ranking."""
    said = [
        "medians over seeds. Equal ranks are ties: the intervals of the costs overlap.",
        "seeds: how many reach the target; only evaluated iterations count.",
    ]
    estimates = [cost for one in found for cost in one.costs.values()]
    if any(cost.coverage is not None for cost in estimates):
        said.append(f"[low, high]: interval of the median over seeds, {CONFIDENCE:.0%} or more.")
    if any(cost.coverage is None for cost in estimates):
        said.append(
            f"(least … greatest): fewer than {least_count()} seeds, too few for an interval."
        )
    conditions = [one.conditions for one in found]
    if any(one.oversubscribed for one in conditions):
        said.append("† oversubscribed: more threads than cores; seconds mean little.")
    said += [f"{sign} {note}." for sign, note in time_notes(conditions).items()]
    if len({one.machine for one in conditions}) > 1:
        said.append("seconds come from different machines and cannot be compared.")
    return said


def to_json(found: Sequence[Contender], target: Target, collection: Collection) -> str:
    """Return the ranking as JSON with full precision; infinity becomes null."""
    document = {
        "target": {"metric": target.metric.name, "value": target.value},
        "notes": [*notes_of(found), *collection.doubts],
        "left_out": collection.describe_excluded(),
        "records": [_record(one) for one in found],
    }
    return json_text(document)


def to_csv(found: Sequence[Contender]) -> str:
    """Return the ranking as CSV with full precision."""
    return csv_text([_record(one) for one in found])


def _contender(
    method: Method,
    timing: TimedLaunches,
    target: Target,
    quantities: dict[str, Quantity],
) -> Contender:
    by_seed = method.by_seed
    costs = {}
    for name, quantity in quantities.items():
        runs = timing.whole_runs if quantity.is_timed else list(by_seed.values())
        values: dict[int, list[float]] = {}
        for run in runs:
            values.setdefault(run.spec["seed"], []).append(quantity.measure(run))
        if values:
            costs[name] = estimate_over(values)
    steps = [quantities["iterations"].measure(run) for run in by_seed.values()]
    return Contender(
        label=timing.label,
        conditions=timing.conditions,
        seeds=len(steps),
        reached=sum(map(math.isfinite, steps)),
        best=estimate([best_value(run, target.metric) for run in by_seed.values()]),
        costs=costs,
    )


def _ranked(one: Contender, all_of_them: Sequence[Contender], by: str) -> Contender:
    if math.isinf(_cost(one, by)):
        return one
    low = one.costs[by].low
    cheaper = [other for other in all_of_them if by in other.costs and other.costs[by].high < low]
    return Contender(
        one.label, one.conditions, one.seeds, one.reached, one.best, one.costs, 1 + len(cheaper)
    )


def _cost(one: Contender, by: str) -> float:
    cost = one.costs.get(by)
    return math.inf if cost is None or math.isnan(cost.median) else cost.median


def _columns(by: str) -> list[str]:
    """Return the costs, with the one that ranks first."""
    return sorted(COSTS, key=lambda cost: cost != by)


def _title(cost: str) -> str:
    return cost.replace("_", " ")


def _seeds(one: Contender) -> str:
    return f"{one.reached} of {one.seeds}"


def _texts(name: str, cost: Estimate | None) -> tuple[str, str]:
    """Return the median and, if it has one, the interval."""
    if cost is None:
        return NOTHING, ""
    median, low, high = (_number(name, value) for value in (cost.median, cost.low, cost.high))
    if cost.count == 1 or cost.low == cost.high:
        return median, ""
    return median, f"[{low}, {high}]" if cost.coverage is not None else f"({low} … {high})"


def _number(name: str, value: float) -> str:
    if math.isinf(value):
        return NEVER
    return significant(value, 3) if name == "seconds" else with_prefix(value)


def _record(one: Contender) -> dict[str, Any]:
    spread = {
        f"{cost}_{part}": getattr(found, part)
        for cost, found in one.costs.items()
        for part in ("median", "low", "high", "coverage")
    }
    return {
        "method": one.label,
        "rank": one.rank,
        "seeds": one.seeds,
        "reached": one.reached,
        "best_value": one.best.median,
        **spread,
        **asdict(one.conditions),
    }
