"""Scaling studies: speed-up and efficiency, phases beside their bounds, cost along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from analysis import style
from analysis.formatting import significant
from analysis.marks import emulated_note, mark
from analysis.runs import natural_key
from analysis.scaling.summary import void_lines
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, least_count
from analysis.timing import COMMUNICATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from analysis.scaling.load import ScalingStudy
    from analysis.scaling.summary import CaseSummary
    from analysis.statistics import Estimate

_HEIGHT = 3.3
_ROW = 0.36
_MARGIN = 1.1
_BAR = 0.38
_MS = 1e3
_SIZE = 5
_LEAST_SHARE = 0.01
_NO_CLAIM = "oversubscribed: no claim"


def speedup_and_efficiency(
    study: ScalingStudy, rows: Sequence[CaseSummary]
) -> tuple[Figure, str] | None:
    """Draw speed-up (strong) or time (weak), and efficiency, against ranks; None for one P."""
    if len({row.ranks for row in rows}) < 2:
        return None
    strong = study.record.kind == "strong"
    figure = Figure(figsize=(style.WIDTH, _HEIGHT))
    left, right = figure.subplots(1, 2)
    groups = _by_point(rows)
    colors = style.method_styles(groups)
    for name, members in groups.items():
        base = members[0]
        color = colors[name].color
        # What is not claimed is not drawn; in weak scaling, times are.
        claimed = [row for row in members if row.efficiency is not None]
        hosts = [row.device_ranks / base.device_ranks for row in claimed]
        if strong:
            _draw(left, claimed, [row.speedup for row in claimed if row.speedup], color)
        else:
            _draw(left, members, [_scaled(row.seconds, _MS) for row in members], color)
        _draw(right, claimed, [row.efficiency for row in claimed if row.efficiency], color)
        if strong and claimed:
            model = _amdahl(base, claimed)
            ranks = [row.ranks for row in claimed]
            left.plot(ranks, model, color=color, linestyle=":", linewidth=1.0, zorder=1)
            relative = [m / h for m, h in zip(model, hosts, strict=True)]
            right.plot(ranks, relative, color=color, linestyle=":", linewidth=1.0, zorder=1)
    longest = max(groups.values(), key=len)
    ranks = [row.ranks for row in longest]
    ideal = [row.device_ranks / longest[0].device_ranks for row in longest]
    if strong:
        left.plot(ranks, ideal, color=style.GREY, linestyle="--", linewidth=0.9, zorder=1)
    right.axhline(1.0, color=style.GREY, linestyle="--", linewidth=0.9, zorder=1)
    every = sorted({row.ranks for row in rows})
    for axes in (left, right):
        _ranks_axis(axes, every)
        axes.set_ylim(bottom=0)
    left.set_ylabel("speed-up" if strong else "time of an iteration (ms)")
    right.set_ylabel("efficiency")
    _legend(figure, groups, colors, rows, strong=strong)
    _mark_void(figure, study)
    bases = "; ".join(
        f"{members[0].name}: {significant(_MS * members[0].seconds.median, 3)} ms"
        for members in groups.values()
    )
    return figure, (
        f"{'Strong' if strong else 'Weak'} scaling: {study.record.growth_rule}. Base, time of an "
        f"iteration: {bases}. Marks: medians over launches; bars: {_bars(rows)}. "
        f"Dashed: ideal, in proportion to the ranks that host devices. "
        + ("Dotted: the base's device work divided, all else as in the base. " if strong else "")
        + _claims(study, rows)
    )


def phases_and_bounds(study: ScalingStudy, rows: Sequence[CaseSummary]) -> tuple[Figure, str]:
    """Draw two bars a case: the phases as measured, and their bounds below."""
    figure = Figure(figsize=(style.WIDTH, _MARGIN + _ROW * len(rows)))
    axes = figure.add_subplot()
    names = list(
        dict.fromkeys(
            phase.name
            for row in rows
            for phase in row.phases
            if any(_is_seen(phase.name, other) for other in rows)
        )
    )
    colors = style.phase_colors(names, rest=COMMUNICATION)
    for place, row in enumerate(reversed(rows)):
        end = bound_end = 0.0
        for phase in (phase for phase in row.phases if phase.name in colors):
            width = _MS * phase.seconds.median
            axes.barh(place + _BAR / 2, width, _BAR, left=end, color=colors[phase.name])
            end += width
            if phase.bound_s is not None:
                bound = _MS * phase.bound_s
                color = colors[phase.name]
                axes.barh(place - _BAR / 2, bound, _BAR * 0.6, left=bound_end, color=color)
                bound_end += bound
        axes.annotate(
            significant(_MS * row.seconds.median, 3), (end, place + _BAR / 2), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    labels = [row.name + mark(row) for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.1, y=0.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("time of an iteration (ms)")
    handles = [Line2D([], [], color=colors[name], linewidth=6, label=name) for name in names]
    figure.legend(handles=handles, loc="outside right center")
    _mark_void(figure, study)
    return figure, (
        "Phases of an iteration. Upper bar: medians over launches, work on the slowest rank; "
        "number: the whole, in ms. Lower bar: the bounds of the same phases, by bandwidth, "
        "rate and bare collectives of the baseline. " + _claims(study, rows)
    )


def cost_along_axis(study: ScalingStudy, rows: Sequence[CaseSummary]) -> tuple[Figure, str] | None:
    """Draw time and final loss against the first axis; None where there is no numeric one."""
    key = next(iter(study.record.over), None)
    if key is None or not all(_is_number(row.over.get(key)) for row in rows):
        return None
    if len({row.over[key] for row in rows}) < 2:
        return None
    figure = Figure(figsize=(style.WIDTH, _HEIGHT))
    left, right = figure.subplots(1, 2)
    groups: dict[str, list[CaseSummary]] = {}
    for row in rows:
        rest = ", ".join(f"{_short(k)}={v}" for k, v in row.over.items() if k != key)
        groups.setdefault(f"P={row.ranks}" + (f", {rest}" if rest else ""), []).append(row)
    colors = style.method_styles(groups)
    for name in sorted(groups, key=natural_key):
        members = sorted(groups[name], key=lambda row: float(str(row.over[key])))
        places = [float(str(row.over[key])) for row in members]
        times = [_scaled(row.seconds, _MS) for row in members]
        _draw(left, members, times, colors[name].color, places=places, label=name)
    # Errors are the same bits at every P: one line is all of them.
    errors = {(float(str(row.over[key])), row.growth): row.final_loss for row in rows}
    values = sorted(errors.items())
    right.plot(
        [place for (place, _), _ in values], [loss for _, loss in values], "o-",
        color="black", markersize=_SIZE, linewidth=0.9,
    )  # fmt: skip
    ticks = sorted({float(str(row.over[key])) for row in rows})
    for axes in (left, right):
        axes.set_xlabel(f"{_short(key)} ({key})")
        if min(ticks) > 0:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    left.set_ylim(bottom=0)
    left.set_ylabel("time of an iteration (ms)")
    right.set_ylabel("final loss $F(x_T)$")
    if all(loss > 0 for loss in errors.values()):
        right.set_yscale("log")
    left.legend()
    _mark_void(figure, study)
    return figure, (
        f"Cost and error against {key}. Left: time of an iteration, medians over launches; bars: "
        f"{_bars(rows)}. Right: final loss after the same number of iterations, the same bits at "
        "every P. " + _claims(study, rows)
    )


def _is_seen(name: str, row: CaseSummary) -> bool:
    """Tell whether a phase is wide enough to be seen in a bar."""
    found = (phase.seconds.median for phase in row.phases if phase.name == name)
    return any(seconds >= _LEAST_SHARE * row.seconds.median for seconds in found)


def _draw(
    axes: Axes,
    members: Sequence[CaseSummary],
    values: Sequence[Estimate],
    color: str,
    *,
    places: Sequence[float] | None = None,
    label: str | None = None,
) -> None:
    """Draw medians with intervals; hollow where no claim is made."""
    at = [float(row.ranks) for row in members] if places is None else list(places)
    for place, row, value in zip(at, members, values, strict=True):
        axes.plot([place] * 2, [value.low, value.high], color=color, linewidth=1.0)
        face = "white" if row.oversubscribed else color
        axes.plot(place, value.median, "o", color=color, markerfacecolor=face, markersize=_SIZE)
    medians = [value.median for value in values]
    axes.plot(at, medians, color=color, linewidth=0.8, zorder=1, label=label)


def _amdahl(base: CaseSummary, members: Sequence[CaseSummary]) -> list[float]:
    """Return the speed-up if only the base's work of devices is divided."""
    total, divided = base.seconds.median, min(base.device_s, base.seconds.median)
    return [
        total / (total - divided + divided * base.device_ranks / row.device_ranks)
        for row in members
    ]


def _by_point(rows: Sequence[CaseSummary]) -> dict[str, list[CaseSummary]]:
    """Group cases that differ in P alone, by rising P."""
    groups: dict[str, list[CaseSummary]] = {}
    for row in sorted(rows, key=lambda row: row.ranks):
        name = ", ".join(f"{_short(key)}={value}" for key, value in row.over.items())
        groups.setdefault(name or "measured", []).append(row)
    return groups


def _legend(
    figure: Figure,
    groups: dict[str, list[CaseSummary]],
    colors: dict[str, style.Style],
    rows: Sequence[CaseSummary],
    *,
    strong: bool,
) -> None:
    handles = [
        Line2D([], [], color=colors[name].color, marker="o", markersize=_SIZE, label=name)
        for name in groups
    ]
    handles.append(Line2D([], [], color=style.GREY, linestyle="--", label="ideal"))
    if strong:
        text = "only device work divided"
        handles.append(Line2D([], [], color=style.GREY, linestyle=":", label=text))
    if any(row.oversubscribed for row in rows):
        hollow: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "linewidth": 0}
        handles.append(Line2D([], [], color=style.GREY, label=_NO_CLAIM, **hollow))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _ranks_axis(axes: Axes, ranks: Sequence[int]) -> None:
    axes.set_xlabel("ranks $P$ (one is the server)")
    axes.xaxis.set_major_locator(FixedLocator([float(p) for p in ranks]))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _mark_void(figure: Figure, study: ScalingStudy) -> None:
    if study.void:
        figure.suptitle("VOID: no claim is made, see the caption", color="#AA0000", fontsize=9)


def _claims(study: ScalingStudy, rows: Sequence[CaseSummary]) -> str:
    said = [f"VOID, {line}." for line in void_lines(rows, study)]
    if any(row.oversubscribed for row in rows):
        said.append("Hollow or †: more threads than processors, no claim is made.")
    if note := emulated_note(rows):
        said.append(f"{note[0].upper()}{note[1:]}.")
    void = sum(row.void for row in rows)
    if void:
        said.append(f"{void} void launches are left out.")
    return " ".join(said)


def _bars(rows: Sequence[CaseSummary]) -> str:
    drawn = [found for row in rows for found in (row.seconds, row.efficiency) if found]
    certain = {found.coverage is not None for found in drawn}
    if certain == {False}:
        return "least to greatest, of too few launches for an interval"
    sure = f"rank-based confidence intervals, {CONFIDENCE:.0%} or more"
    if certain == {True}:
        return sure
    return (
        f"{sure}; least to greatest of fewer than {least_count()} launches, or of efficiency "
        f"fewer than {least_count(EACH_OF_TWO)}"
    )


def _scaled(value: Estimate, factor: float) -> Estimate:
    return type(value)(
        factor * value.median, factor * value.low, factor * value.high, value.count, value.coverage
    )


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
