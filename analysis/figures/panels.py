"""The arrangement of lines in panels, and their names in the legend."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import style
from analysis.families import brief_labels, joined, name_methods
from analysis.metrics import ascending_from_best, final_value
from analysis.runs import natural_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analysis.runs import Method
    from lad_mpi.logs import RunLog
    from lad_mpi.types import Metric

#: Largest number of lines in a legend, and of panels on a page.
MOST_LINES = 12
MOST_PANELS = 24


@dataclass(frozen=True, slots=True)
class Line:
    """The line of a method or a family.

    Parameters
    ----------
    label : str
        A unique label.
    data, setting, rule, load
        As in :class:`~analysis.families.MethodName`.
    rank : float
        Sort key of its final value: the smaller, the better.
    """

    label: str
    data: str
    setting: str
    rule: str
    load: int | None
    rank: float


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share a pair of axes.

    Parameters
    ----------
    title : str
        What distinguishes the panel from others; empty if it is the only one.
    names : dict of str
        Names of the lines in the legend, by label.
    others : tuple of str
        Labels of all other lines of the same data.
    """

    title: str
    names: dict[str, str]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """All panels of a figure.

    Parameters
    ----------
    panels : tuple of Panel
        Panels, in natural order of their titles.
    styles : dict of Style
        Styles by the names of lines, in the order of rules and loads.
    left_out : tuple of str
        Labels of lines that no panel names.
    one_data : bool
        Whether all lines have the same data, so that their values can be compared.
    """

    panels: tuple[Panel, ...]
    styles: dict[str, style.Style]
    left_out: tuple[str, ...]
    one_data: bool


@dataclass(frozen=True, slots=True)
class _Split:
    """A way to split lines into panels by ``title``, with the remaining ``rule`` and ``name``."""

    title: Callable[[Line], str]
    rule: Callable[[Line], str]
    name: Callable[[Line], str]


def _whole_name(line: Line) -> str:
    told = line.setting.replace(" ", "") in line.label.replace(" ", "")
    return line.label if told else joined(line.label, line.setting)


def _load_name(line: Line) -> str:
    return "load set by the code" if line.load is None else f"d = {line.load}"


_BY_DATA = _Split(
    title=lambda line: line.data,
    rule=lambda line: joined(line.rule, line.setting),
    name=_whole_name,
)
_BY_SETTING = _Split(
    title=lambda line: line.setting,
    rule=lambda line: line.rule,
    name=lambda line: line.rule if line.load is None else f"{line.rule}, d = {line.load}",
)
_BY_RULE = _Split(
    title=lambda line: joined(line.rule, line.setting), rule=lambda _: "", name=_load_name
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The runs from which a line is drawn.

    Parameters
    ----------
    label : str
        Label of the line.
    method : Method
        Method of the runs.
    runs : tuple of RunLog
        One run for each seed.
    conditions : str
        Conditions of the times, if the method was timed under several; otherwise empty.
    """

    label: str
    method: Method
    runs: tuple[RunLog, ...]
    conditions: str = ""


def errors_of(methods: Sequence[Method]) -> list[Source]:
    """Return a source for the errors of each method. All runs of a seed have the same errors."""
    names = brief_labels(methods)
    return [Source(names[one.label], one, tuple(one.by_seed.values())) for one in methods]


def times_of(methods: Sequence[Method]) -> list[Source]:
    """Return a source for each method and its conditions, with runs that had them throughout."""
    sources = []
    names = brief_labels(methods)
    for method in methods:
        for timing in method.timings:
            runs = {run.spec["seed"]: run for run in reversed(timing.whole_runs)}
            several = timing.label.removeprefix(method.label)
            label, conditions = names[method.label] + several, several.strip(" ()")
            if runs:
                ours = tuple(runs[seed] for seed in sorted(runs))
                sources.append(Source(label, method, ours, conditions))
    return sources


def lines_of(sources: Sequence[Source], metric: Metric) -> list[Line]:
    """Return the line of each source, ranked by the final value of a metric."""
    methods = {source.method.label: source.method for source in sources}
    found = {one.method.label: one for one in name_methods(list(methods.values()))}
    return [
        Line(
            label=source.label,
            data=found[source.method.label].data,
            setting=found[source.method.label].setting,
            rule=joined(found[source.method.label].rule, source.conditions),
            load=found[source.method.label].load,
            rank=min(ascending_from_best(metric, final_value(r, metric.name)) for r in source.runs),
        )
        for source in sources
    ]


def arrange(lines: Sequence[Line], among: Sequence[Line] = ()) -> Arrangement:
    """Arrange lines in panels, so that all lines can be distinguished.

    A few lines share one panel, unless there are several settings with several lines each.
    Otherwise there is a panel for each setting, or for each rule. If there are still too many
    lines, only those with the best final values are named.

    Parameters
    ----------
    lines : sequence of Line
        At least one line.
    among : sequence of Line
        If the lines are families, the lines of their members. They decide the colours of the
        rules, and there is no panel for each rule.
    """
    for split in (_BY_DATA, _BY_SETTING, *([] if among else [_BY_RULE])):
        if _fits(lines, split, mixed=bool(among)):
            return _arranged(lines, lines, split, among)
    settings = len({line.setting for line in lines})
    split = _BY_SETTING if 1 < settings <= MOST_PANELS else _BY_DATA
    # A name counts by its worst panel.
    worst: dict[str, float] = {}
    for line in lines:
        worst[split.name(line)] = max(line.rank, worst.get(split.name(line), -math.inf))
    names = set(sorted(worst, key=lambda name: worst[name])[:MOST_LINES])
    return _arranged([line for line in lines if split.name(line) in names], lines, split, among)


def _fits(lines: Sequence[Line], split: _Split, *, mixed: bool) -> bool:
    """Return whether a split is fine enough. Families of several settings may share a panel."""
    if len({split.name(line) for line in lines}) > MOST_LINES:
        return False
    if split is _BY_DATA:
        settings = len({line.setting for line in lines})
        alone = mixed or settings in {1, len(lines)}
        return alone and len({line.data for line in lines}) == 1
    return len({split.title(line) for line in lines}) <= MOST_PANELS


def _arranged(
    shown: Sequence[Line], lines: Sequence[Line], split: _Split, among: Sequence[Line]
) -> Arrangement:
    ordered = sorted(shown, key=lambda line: (natural_key(split.rule(line)), line.load or 0))
    keys = {split.name(line): (split.rule(line), line.load) for line in ordered}
    # The rule with most lines gets the first colour, whose shades differ most.
    counts = Counter(split.rule(line) for line in among or shown)
    rules = sorted(counts, key=lambda rule: (-counts[rule], natural_key(rule)))
    styles = style.line_styles(keys.values(), rules)
    titles = sorted({split.title(line) for line in shown}, key=natural_key)
    panels = []
    for title in titles:
        members = [line for line in ordered if split.title(line) == title]
        own, data = {line.label for line in members}, {line.data for line in members}
        panels.append(
            Panel(
                title=title if len(titles) > 1 else "",
                names={line.label: split.name(line) for line in members},
                others=tuple(o.label for o in lines if o.data in data and o.label not in own),
            )
        )
    named = {line.label for line in shown}
    return Arrangement(
        panels=tuple(panels),
        styles={name: styles[key] for name, key in keys.items()},
        left_out=tuple(line.label for line in lines if line.label not in named),
        one_data=len({line.data for line in lines}) == 1,
    )
