"""Heat maps: a quantity over two keys, in panels by a third, and where it is nearly exact."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.exact import exact_reference, is_exact
from analysis.keys import KeyTable, in_order
from analysis.pivot import pivot
from analysis.statistics import estimate
from analysis.text import interval_text, significant
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analysis.pivot import Cell, Reduction
    from analysis.quantities import Quantity
    from analysis.runs import Method
    from analysis.statistics import Estimate
    from lad_mpi.logs import RunLog

    #: Labels of panel, row and column.
    Place = tuple[str, str, str]

#: The key of the redundancy, along which people ask how much of it they need.
LOAD = "coding.load"
#: Most values of the key of panels, and of those of rows and columns.
_MOST_PANELS, _MOST = 24, 200
_GAPS = "Gaps are medians over seeds, with intervals."
_NO_EXACT = (
    "run the same spec with coding.load = N, or with a draco code, for the same seeds; the rule "
    "must not change what all honest devices agree on"
)


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse than exact recovery still counts as near.

    Parameters
    ----------
    size : float
        A share of the exact value, or a difference.
    is_relative : bool
        Whether it is a share.
    """

    size: float
    is_relative: bool

    def __str__(self) -> str:
        """Write it as the user does."""
        return f"{100 * self.size:g} %" if self.is_relative else f"{self.size:g}"

    def text(self, gap: Estimate) -> str:
        """Write a gap with its interval, in the same units."""
        factor, units = (100, " %") if self.is_relative else (1, "")
        sure = gap.coverage is not None
        interval = interval_text(factor * gap.low, factor * gap.high, 2, certain=sure)
        spread = "" if gap.count == 1 else f" {interval}"
        return f"{significant(factor * gap.median, 2)}{spread}{units}"


@dataclass(frozen=True, slots=True)
class Within:
    """Which cells are within a margin of exact recovery.

    Parameters
    ----------
    margin : Margin
        The margin.
    gaps : dict of Estimate
        How much worse than exact recovery, over seeds, by place. Places that have no exact
        method with the same settings are missing.
    exact : frozenset
        Places of methods that are exact themselves.
    """

    margin: Margin
    gaps: dict[Place, Estimate]
    exact: frozenset[Place]

    def holds(self, place: Place) -> bool:
        """Return whether a cell is within the margin."""
        return place in self.gaps and self.gaps[place].median <= self.margin.size


@dataclass(frozen=True, slots=True)
class HeatMap:
    """What a heat map shows.

    Parameters
    ----------
    quantity : Quantity
        The quantity.
    keys : tuple of str
        The keys of panels, rows and columns; the first is empty if there is one panel.
    panels, rows, columns : tuple of str
        Values of the keys in order, as texts.
    cells : dict of Cell
        Cells by place. Places without runs are missing.
    notes : tuple of str
        Remarks for the reader.
    within : Within or None
        Which cells are nearly exact, if that was asked.
    """

    quantity: Quantity
    keys: tuple[str, str, str]
    panels: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[Place, Cell]
    notes: tuple[str, ...]
    within: Within | None = None

    @property
    def runs(self) -> list[RunLog]:
        """The runs behind the cells."""
        return [run for cell in self.cells.values() for run in cell.runs]


def build_heatmap(
    runs: Sequence[RunLog],
    quantity: Quantity,
    *,
    rows: str,
    columns: str,
    panels: str = "",
    reduction: Reduction | None = None,
    margin: Margin | None = None,
    methods: Sequence[Method] = (),
) -> HeatMap:
    """Tabulate a quantity for a heat map.

    Parameters
    ----------
    runs : sequence of RunLog
        Complete runs.
    quantity : Quantity
        What is shown.
    rows, columns, panels : str
        Keys of runs; without ``panels`` there is one panel.
    reduction : Reduction, optional
        How runs of a cell that differ in more than their seeds become one number.
    margin : Margin, optional
        Which cells count as nearly exact.
    methods : sequence of Method
        Among these are the methods of the runs, and the exact ones.

    Raises
    ------
    UsageError
        No run has one of the keys, a key has too many values, runs of a cell differ in another
        key, or there is no exact method to compare with.
    """
    keys = (panels, rows, columns)
    named = [key for key in keys if key]
    if len(set(named)) < len(named):
        raise UsageError(f"rows, columns and panels need different keys, found {', '.join(named)}")
    table = pivot(
        runs, quantity, rows=(panels, rows) if panels else (rows,), columns=(columns,),
        reduction=reduction,
    )  # fmt: skip
    cells = {
        (row[0] if panels else "", row[-1], column[0]): cell
        for (row, column), cell in table.cells.items()
    }
    known = KeyTable(runs)
    labels = (
        _labels(runs, known, panels) if panels else ("",),
        _labels(runs, known, rows),
        tuple(column for (column,) in table.column_labels),
    )
    for key, found, most in zip(keys, labels, (_MOST_PANELS, _MOST, _MOST), strict=True):
        if len(found) > most:
            raise UsageError(
                f"{key} has {len(found)} values, but a figure has room for {most}",
                hint="choose some of them with --where",
            )
    return HeatMap(
        quantity,
        keys,
        *labels,
        cells,
        table.notes,
        None if margin is None else _within(cells, quantity, margin, methods),
    )


def parse_margin(text: str) -> Margin:
    """Parse a margin: ``1%`` of the exact value, or a difference such as ``0.01``.

    Raises
    ------
    UsageError
        It is not a number that is at least 0.

    Examples
    --------
    >>> str(parse_margin("1%")), str(parse_margin("0.01"))
    ('1 %', '0.01')
    """
    number = text.strip()
    is_relative = number.endswith("%")
    try:
        size = float(number.removesuffix("%"))
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise UsageError(
            f"--within {text!r}: expected a number",
            hint="write 1% for a share of the exact value, or 0.01 for a difference",
        )
    return Margin(size / 100 if is_relative else size, is_relative)


def describe_within(heatmap: HeatMap) -> list[str]:
    """Say which cells are nearly exact, in one line for each row and panel.

    If the columns are loads, a line says from which load on. If the rows are loads, there is a
    line for each column instead.
    """
    within = heatmap.within
    if within is None:
        return []
    panel_key, row_key, column_key = heatmap.keys
    by_rows = row_key == LOAD
    along, other = (row_key, column_key) if by_rows else (column_key, row_key)
    title = heatmap.quantity.title
    said = [f"{title[:1].upper()}{title[1:]} within {within.margin} of exact recovery. {_GAPS}"]
    for panel in heatmap.panels:
        for line in heatmap.columns if by_rows else heatmap.rows:
            places = [
                place
                for one in (heatmap.rows if by_rows else heatmap.columns)
                for place in [(panel, one, line) if by_rows else (panel, line, one)]
                if place in within.gaps
            ]
            values = [place[1 if by_rows else 2] for place in places]
            name = f"{panel_key} = {panel}, " if panel_key else ""
            told = _describe_line(within, places, values, along)
            said.append(f"  {name}{other} = {line}: {told}")
    return said


def _describe_line(within: Within, places: Sequence[Place], values: Sequence[str], key: str) -> str:
    """Say where one row is nearly exact, given its places and their values of the key."""
    if not places:
        return "no exact method has the same settings and seeds"
    near = [within.holds(place) for place in places]
    if not any(near):
        nearest = min(range(len(places)), key=lambda i: within.gaps[places[i]].median)
        gap = within.margin.text(within.gaps[places[nearest]])
        return f"at no {key}; the nearest is {values[nearest]}, gap {gap}"
    # With a higher load comes less error, so the last ones count that are near without a break.
    first = len(near)
    while key == LOAD and first and near[first - 1]:
        first -= 1
    said = []
    if first < len(near):
        text = f"gap {within.margin.text(within.gaps[places[first]])}"
        text = "itself exact" if places[first] in within.exact else text
        said.append(f"from {key} = {values[first]} on ({text})")
    if apart := [value for value, is_near in zip(values[:first], near, strict=False) if is_near]:
        said.append(f"{'also at' if said else 'at'} {', '.join(apart)}")
    return "; ".join(said)


def _within(
    cells: Mapping[Place, Cell], quantity: Quantity, margin: Margin, methods: Sequence[Method]
) -> Within:
    if not quantity.better:
        raise UsageError(
            f"--within: neither direction of {quantity.name} is better",
            hint="choose another --value, such as loss or test_accuracy",
        )
    exact = [method for method in methods if is_exact(method)]
    owners = {run.uuid: method for method in methods for run in method.runs}
    gaps: dict[Place, Estimate] = {}
    for place, cell in cells.items():
        reference = exact_reference(owners[cell.runs[0].uuid], exact)
        gap = None if reference is None else _gap(cell.runs, reference.runs, quantity, margin)
        if gap is not None:
            gaps[place] = gap
    if not gaps:
        raise UsageError(
            "--within: no exact method among these logs has the settings and seeds of the others",
            hint=_NO_EXACT,
        )
    known = {run.uuid for method in exact for run in method.runs}
    own = {place for place, cell in cells.items() if cell.runs[0].uuid in known}
    return Within(margin, gaps, frozenset(own))


def _gap(
    runs: Sequence[RunLog], exact: Sequence[RunLog], quantity: Quantity, margin: Margin
) -> Estimate | None:
    """Return how much worse runs are than exact ones, over the seeds that both have."""
    own, best = _by_seed(runs, quantity), _by_seed(exact, quantity)
    sign = -1.0 if quantity.better == "higher" else 1.0
    gaps = []
    for seed in own.keys() & best.keys():
        worse = sign * (own[seed] - best[seed])
        if margin.is_relative and worse:
            worse = worse / abs(best[seed]) if best[seed] else math.copysign(math.inf, worse)
        gaps.append(worse + 0.0)
    finite = [gap for gap in gaps if not math.isnan(gap)]
    return estimate(finite) if finite else None


def _by_seed(runs: Sequence[RunLog], quantity: Quantity) -> dict[int, float]:
    values: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        values[int(run.spec.get("seed", 0))].append(quantity.measure(run))
    return {seed: estimate(found).median for seed, found in values.items()}


def _labels(runs: Sequence[RunLog], table: KeyTable, key: str) -> tuple[str, ...]:
    return tuple(in_order({table.label(run, key): table.value(run, key) for run in runs}))
