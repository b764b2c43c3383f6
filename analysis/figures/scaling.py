"""Figures of scaling studies: speed-up and efficiency, phases and bounds, cost along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import style
from analysis.families import setting_of
from analysis.figures import canvas
from analysis.figures.bars import Bar, draw_bars
from analysis.figures.notes import sentence
from analysis.figures.panels import MOST_LINES
from analysis.marks import mark, time_notes
from analysis.runs import natural_key
from analysis.scaling.summary import void_lines
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, least_count
from analysis.text import significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.scaling.load import ScalingStudy
    from analysis.scaling.summary import CaseSummary
    from analysis.statistics import Estimate

_HEIGHT = 2.6
_MS = 1e3
_SIZE = 4.5
_NO_CLAIM = "oversubscribed: no claim"
_TIME = "time of an iteration (ms)"
_RANKS = "ranks $P$ (with the servers)"
#: The axis of ranks is logarithmic if they differ by a larger factor.
_WIDE = 8
_IDEAL: dict[str, Any] = {"color": style.GREY, "linestyle": "--", "linewidth": 0.9, "zorder": 1}
_DOTTED: dict[str, Any] = {"linestyle": ":", "linewidth": 1.0, "zorder": 1}
_HOLLOW: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "linewidth": 0}


def speedup_and_efficiency(
    study: ScalingStudy, rows: Sequence[CaseSummary]
) -> tuple[Figure, str] | None:
    """Draw time, speed-up (strong) and efficiency against ranks; None if there is only one P.

    Only the time is drawn for cases that make no claim.
    """
    if len({row.ranks for row in rows}) < 2:
        return None
    groups, left_out = _chosen(_by_point(rows))
    colors = _colors(groups)
    shown = [row for members in groups.values() for row in members]
    efficient = any(row.efficiency is not None for row in shown)
    strong = any(row.speedup is not None for row in shown)
    figure = canvas.new_figure(_HEIGHT)
    titles = [_TIME, *["speed-up"] * strong, *["efficiency"] * efficient]
    all_axes = figure.subplots(1, len(titles), squeeze=False, sharex=True)[0]
    entries = _entries(colors, shown)
    for name, members in groups.items():
        _draw(all_axes[0], members, [_scaled(row.seconds, _MS) for row in members], colors[name])
        entries |= _draw_claims(all_axes[1:], members, colors[name], strong=strong)
    every = sorted({row.ranks for row in rows})
    for axes, title in zip(all_axes, titles, strict=True):
        axes.set_xlabel(_RANKS)
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        _scale(axes, every, log=every[-1] > _WIDE * every[0])
    canvas.legend(figure, entries)
    _head(figure, study, rows)
    bases = "; ".join(
        f"{members[0].name}: {significant(_MS * members[0].seconds.median, 3)} ms"
        for members in groups.values()
    )
    said = [
        f"{study.record.kind.capitalize()} scaling: {study.record.growth_rule}.",
        f"Base, time of an iteration: {bases}. Marks: medians over launches; bars: {_bars(rows)}.",
        "Dashed: ideal, in proportion to the ranks that host devices." if efficient else "",
        "Dotted: only the device work of the base is divided." if strong else "",
        "" if efficient else "No case makes a claim, so speed-up and efficiency are not drawn.",
        left_out,
        _claims(study, rows),
    ]
    return figure, " ".join(text for text in said if text)


def phases_and_bounds(study: ScalingStudy, rows: Sequence[CaseSummary]) -> tuple[Figure, str]:
    """Draw two bars for each case: the measured phases, and their bounds below."""
    figure = draw_bars(
        [
            Bar(
                name=f"{row.name}{mark(row)}",
                whole=_MS * row.seconds.median,
                parts={p.name: _MS * p.seconds.median for p in row.phases},
                bounds={} if study.void else _bounds(row),
            )
            for row in rows
        ]
    )
    _head(figure, study, rows)
    lower = (
        "Lower bar: the bounds of the same phases, from the bandwidth, rates and plain "
        "collectives of the baseline."
    )
    return figure, (
        "Phases of an iteration. Upper bar: medians over launches, work on the slowest rank; "
        "communication is the rest of the iteration; number: the total in ms. "
        + ("" if study.void else f"{lower} ")
        + _claims(study, rows)
    )


def cost_along_axis(study: ScalingStudy, rows: Sequence[CaseSummary]) -> tuple[Figure, str] | None:
    """Draw time and final loss against the first axis; None if it is not numeric."""
    key = next(iter(study.record.over), None)
    if key is None or not all(_is_number(row.over.get(key)) for row in rows):
        return None
    ticks = sorted({_place(row, key) for row in rows})
    if len(ticks) < 2:
        return None
    figure = canvas.new_figure(_HEIGHT)
    left, right = figure.subplots(1, 2)
    found: dict[str, list[CaseSummary]] = {}
    for row in sorted(rows, key=lambda row: _place(row, key)):
        rest = ", ".join(f"{_short(k)}={v}" for k, v in row.over.items() if k != key)
        found.setdefault(f"P={row.ranks}" + (f", {rest}" if rest else ""), []).append(row)
    groups, left_out = _chosen(found)
    colors = _colors(groups)
    for name, members in groups.items():
        times = [_scaled(row.seconds, _MS) for row in members]
        _draw(left, members, times, colors[name], places=[_place(row, key) for row in members])
    # Errors are the same bits at every P, so one line shows all of them.
    errors = sorted({(_place(row, key), row.growth): row.final_loss for row in rows}.items())
    losses = [loss for _, loss in errors]
    right.plot(
        [place for (place, _), _ in errors], losses, "o-", color="black", markersize=_SIZE,
        linewidth=0.9,
    )  # fmt: skip
    for axes, title in ((left, _TIME), (right, "final loss $F(x_T)$")):
        axes.set_xlabel(canvas.fold_name(f"{_short(key)} ({key})", 200, 9), parse_math=False)
        axes.set_ylabel(title)
        _scale(axes, ticks, log=ticks[0] > 0)
    left.set_ylim(bottom=0)
    if all(loss > 0 for loss in losses):
        right.set_yscale("log")
    canvas.legend(figure, _entries(colors, [row for rows in groups.values() for row in rows]))
    _head(figure, study, rows)
    said = [
        f"Cost and error against {key}.",
        f"Left: time of an iteration, medians over launches; bars: {_bars(rows)}.",
        "Right: final loss after the same number of iterations, the same bits at every P.",
        left_out,
        _claims(study, rows),
    ]
    return figure, " ".join(text for text in said if text)


def _entries(colors: Mapping[str, str], rows: Sequence[CaseSummary]) -> dict[str, Artist]:
    entries: dict[str, Artist] = {
        name: canvas.sample(color=color, marker="o", markersize=_SIZE, linewidth=0.8)
        for name, color in colors.items()
    }
    if any(row.oversubscribed for row in rows):
        entries[_NO_CLAIM] = canvas.sample(color=style.GREY, markersize=_SIZE, **_HOLLOW)
    return entries


def _draw_claims(
    all_axes: Sequence[Axes], members: Sequence[CaseSummary], color: str, *, strong: bool
) -> dict[str, Artist]:
    """Draw speed-up and efficiency of the cases that claim them, and the ideal."""
    claimed = [row for row in members if row.efficiency is not None]
    if not claimed:
        return {}
    base = next(row for row in members if row.name == claimed[0].base)
    hosts = [row.device_ranks / base.device_ranks for row in claimed]
    model = _amdahl(base, claimed)
    relative = [m / h for m, h in zip(model, hosts, strict=True)]
    shown = [([row.efficiency for row in claimed], [1.0] * len(hosts), relative)]
    if strong:
        shown.insert(0, ([row.speedup for row in claimed], hosts, model))
    ranks = [row.ranks for row in claimed]
    entries: dict[str, Artist] = {}
    for axes, (values, ideal, dotted) in zip(all_axes, shown, strict=True):
        _draw(axes, claimed, [value for value in values if value is not None], color)
        (entries["ideal"],) = axes.plot(ranks, ideal, **_IDEAL)
        if strong:
            axes.plot(ranks, dotted, color=color, **_DOTTED)
            entries["only device work divided"] = canvas.sample(color=style.GREY, **_DOTTED)
    return entries


def _draw(
    axes: Axes,
    members: Sequence[CaseSummary],
    values: Sequence[Estimate],
    color: str,
    *,
    places: Sequence[float] | None = None,
) -> None:
    """Draw medians with intervals; hollow if the case makes no claim."""
    at = [float(row.ranks) for row in members] if places is None else list(places)
    for place, row, value in zip(at, members, values, strict=True):
        axes.plot([place] * 2, [value.low, value.high], color=color, linewidth=1.0)
        face = "white" if row.oversubscribed else color
        axes.plot(place, value.median, "o", color=color, markerfacecolor=face, markersize=_SIZE)
    medians = [value.median for value in values]
    axes.plot(at, medians, color=color, linewidth=0.8, zorder=1)


def _bounds(row: CaseSummary) -> dict[str, float]:
    return {p.name: _MS * p.bound_s for p in row.phases if p.bound_s is not None}


def _amdahl(base: CaseSummary, members: Sequence[CaseSummary]) -> list[float]:
    """Return the speed-up if only the device work of the base is divided."""
    total, divided = base.seconds.median, min(base.device_s, base.seconds.median)
    return [
        total / (total - divided + divided * base.device_ranks / row.device_ranks)
        for row in members
    ]


def _by_point(rows: Sequence[CaseSummary]) -> dict[str, list[CaseSummary]]:
    """Group cases that differ only in P, by ascending P."""
    groups: dict[str, list[CaseSummary]] = {}
    for row in sorted(rows, key=lambda row: row.ranks):
        name = ", ".join(f"{_short(key)}={value}" for key, value in row.over.items())
        groups.setdefault(name or "measured", []).append(row)
    return groups


def _chosen(
    groups: Mapping[str, list[CaseSummary]],
) -> tuple[dict[str, list[CaseSummary]], str]:
    """Choose evenly spaced groups if there are too many, and name the others."""
    names = sorted(groups, key=natural_key)
    places = np.linspace(0, len(names) - 1, min(len(names), MOST_LINES)).round().astype(int)
    chosen = [names[place] for place in places]
    rest = [name for name in names if name not in chosen]
    said = f"Not drawn, of {len(names)}: {'; '.join(rest)}." if rest else ""
    return {name: groups[name] for name in chosen}, said


def _colors(names: Iterable[str]) -> dict[str, str]:
    ordered = list(names)
    looks = style.line_styles(("", place) for place in range(len(ordered)))
    return {name: looks["", place].color for place, name in enumerate(ordered)}


def _scale(axes: Axes, places: Sequence[float], *, log: bool) -> None:
    if log:
        axes.set_xscale("log")
    canvas.mark_places(axes.xaxis, places, log=log)


def _head(figure: Figure, study: ScalingStudy, rows: Sequence[CaseSummary]) -> None:
    specs = [run.spec for case in study.cases for run in case.runs]
    alarm = "VOID: no claim is made, see the caption" if study.void else ""
    if not alarm and void_lines(rows, study):
        alarm = "VOID in part: void claims are not drawn, see the caption"
    canvas.heading(figure, setting_of(specs), alarm=alarm)


def _claims(study: ScalingStudy, rows: Sequence[CaseSummary]) -> str:
    said = [f"VOID, {line}." for line in void_lines(rows, study)]
    if any(row.oversubscribed for row in rows):
        said.append("Hollow or †: more threads than processors, no claim is made.")
    said += [sentence(note) for note in time_notes(rows).values()]
    void = sum(row.void for row in rows)
    if void:
        said.append(f"{void} void launches are left out.")
    return " ".join(said)


def _bars(rows: Sequence[CaseSummary]) -> str:
    drawn = [found for row in rows for found in (row.seconds, row.efficiency) if found]
    certain = {found.coverage is not None for found in drawn}
    if certain == {False}:
        return "least to greatest, because there are too few launches for an interval"
    sure = f"rank-based confidence intervals, {CONFIDENCE:.0%} or more"
    if certain == {True}:
        return sure
    return (
        f"{sure}; least to greatest if there are fewer than {least_count()} launches, or "
        f"{least_count(EACH_OF_TWO)} for efficiency"
    )


def _scaled(value: Estimate, factor: float) -> Estimate:
    return type(value)(
        factor * value.median, factor * value.low, factor * value.high, value.count, value.coverage
    )


def _place(row: CaseSummary, key: str) -> float:
    return float(str(row.over[key]))


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
