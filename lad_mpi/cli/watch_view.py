"""What ``lad-mpi study watch`` shows: a screen, or lines."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from lad_mpi.study.status import COMPLETE, PENDING, RUNNING
from lad_mpi.study.watch import WATCHED
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.study import Look, WatchedRun
    from lad_mpi.types import HostFloats

_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR_CELLS = 24
#: Range of positive values, as a ratio, from which a curve is drawn on a logarithmic scale.
_WIDE = 10.0
_STYLES = {PENDING: "dim", RUNNING: "bold cyan", COMPLETE: "green"}
_ORDINARY = frozenset(_STYLES)
#: Lines around the runs on the screen.
_FRAME_LINES = 5


def describe(name: str, look: Look, known: dict[str, str]) -> Iterator[str]:
    """Yield a line for each run whose status has changed, and one for the study.

    Parameters
    ----------
    name : str
        Name of the study.
    look : Look
        The runs.
    known : dict of str to str
        The status of each run at the last look, by id; brought up to date. If it is empty,
        only runs that are neither pending nor complete are described.
    """
    quiet = set() if known else {PENDING, COMPLETE}
    for run in look.runs:
        run_id, status = run.state.run.run_id, run.state.status
        if status not in quiet and known.get(run_id) != status:
            yield _line(run)
        known[run_id] = status
    yield _summary(name, look)


def screen(name: str, look: Look, width: int, height: int) -> list[Text]:
    """Return the lines of a screen.

    Parameters
    ----------
    name : str
        Name of the study.
    look : Look
        The runs.
    width, height : int
        Size of the terminal in cells.
    """
    done = round(look.fraction * _BAR_CELLS)
    head = [
        Text(f"{name}: {_counted(look.counts)}", "bold"),
        Text(f"{'━' * done}{'─' * (_BAR_CELLS - done)} {look.fraction:4.0%}   {_pace(look)}"),
        Text(),
    ]
    rows, hidden = _chosen(look, max(1, height - _FRAME_LINES))
    longest = max((cell_len(one_line(run.state.run.title)) for run in rows), default=0)
    name_cells = min(longest, max(12, width - 56))
    body = [line for run in rows for line in _lines_of(run, name_cells, width)]
    tail = [Text(f"… more: {_counted(hidden)}", "dim")] if hidden else []
    keys = Text("q leaves; the runs go on. `lad-mpi study status` has all reasons in full.", "dim")
    lines = [*head, *body, *tail, keys][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def sparkline(values: HostFloats, cells: int) -> str:
    """Draw the finite values of a curve in a few cells, from its least to its greatest value.

    The scale is logarithmic if the values are positive and differ by more than a factor of 10.

    Examples
    --------
    >>> sparkline(np.array([1.0, np.nan, 2.0, 3.0]), 8)
    '▁▅█'
    """
    points = values[np.isfinite(values)]
    if len(points) > cells:
        points = points[np.linspace(0, len(points) - 1, cells).round().astype(int)]
    if not len(points):
        return ""
    with np.errstate(over="ignore", invalid="ignore"):
        if points.min() > 0 and points.max() > _WIDE * points.min():
            points = np.log(points)
        heights = (points - points.min()) / max(np.ptp(points), np.finfo(float).tiny)
    levels = np.nan_to_num(heights * (len(_BLOCKS) - 1)).round().astype(int)
    return "".join(_BLOCKS[level] for level in levels)


def _chosen(look: Look, lines: int) -> tuple[list[WatchedRun], Counter[str]]:
    """Return the runs that fit, the most interesting first, and the numbers of the others."""
    latest = sorted(look.runs, key=lambda run: -run.written_s)
    # Those in progress keep their places from look to look.
    running, waiting = (
        [run for run in look.runs if run.state.status == status] for status in (RUNNING, PENDING)
    )
    complete = [run for run in latest if run.state.status == COMPLETE]
    ended = [run for run in latest if run.state.status not in _ORDINARY]
    # Running runs take two lines, and leave a third of the screen to those that failed.
    running = running[: max(1, (lines - min(len(ended), lines // 3)) // 2)]
    lines -= 2 * len(running)
    ended = ended[: max(0, lines)]
    lines = max(0, lines - len(ended))
    complete = complete[: max(lines // 2, lines - len(waiting))]
    waiting = waiting[: lines - len(complete)]
    rows = [*running, *ended, *complete, *waiting]
    return rows, look.counts - Counter(run.state.status for run in rows)


def _lines_of(run: WatchedRun, name_cells: int, width: int) -> Iterator[Text]:
    state = run.state
    # The number of iterations says nothing about runs that have all or none of them.
    partial = state.status not in {COMPLETE, PENDING}
    done = f"{state.iterations}/{state.run.spec.iterations}"
    line = Text.assemble(
        (f"{state.status:<11} ", _STYLES.get(state.status, "bold red")),
        _shortened(one_line(state.run.title), name_cells),
        f"  s{state.run.spec.seed:<3} {f'{done:>11}  ' if partial else ''}{_words(run)}",
    )
    yield line
    if state.status != RUNNING:
        return
    curves = [key for key in WATCHED if key in run.curves][:2]
    cells = (width - 12) // max(1, len(curves))
    line = Text(" " * 12)
    for key in curves:
        label = f"{key} {_number(run.latest[key])} "
        part = Text(label + sparkline(run.curves[key], max(4, cells - len(label) - 2)))
        part.truncate(cells, pad=True)
        line.append_text(part)
    yield line


def _shortened(title: str, cells: int) -> str:
    """Cut the middle of a title, because titles of one study often differ at their end."""
    if cell_len(title) > cells:
        half = cells // 2
        title = (
            set_cell_size(title, cells - half - 1) + "…" + set_cell_size(title[::-1], half)[::-1]
        )
    return set_cell_size(title, cells)


def _line(run: WatchedRun) -> str:
    state = run.state
    title = one_line(f"{state.run.title} (seed {state.run.spec.seed})")
    done = f"{state.iterations} of {state.run.spec.iterations} iterations"
    words = _words(run)
    return f"{title}: {state.status}, {done}" + (f", {words}" if words else "")


def _words(run: WatchedRun) -> str:
    """Return the pace of a running run, the metrics of a complete one, or a reason."""
    state = run.state
    if state.status == RUNNING and not state.failure:
        if math.isnan(run.rate):
            return ""
        return f"{run.rate:.3g} it/s, {_span(run.seconds_left)} left"
    if state.status == COMPLETE:
        shown = [key for key in WATCHED if key in run.latest][:2]
        return ", ".join(f"{key} {_number(run.latest[key])}" for key in shown)
    return one_line(state.failure)


def _summary(name: str, look: Look) -> str:
    return f"{name}: {len(look.runs)} runs: {_counted(look.counts)}; {_pace(look)}"


def _pace(look: Look) -> str:
    if look.is_over:
        return "all runs have ended"
    if not look.counts[RUNNING]:
        return "no run is in progress"
    if math.isnan(look.rate):
        return "rate not known yet"
    return f"{look.rate:.3g} it/s, about {_span(look.seconds_left)} left"


def _counted(counts: Counter[str]) -> str:
    order = [RUNNING, COMPLETE, PENDING, *sorted(counts)]
    return ", ".join(f"{counts[key]} {key}" for key in dict.fromkeys(order) if counts[key])


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def _span(seconds: float) -> str:
    """Return a time in at most two units.

    Examples
    --------
    >>> _span(4000)
    '1 h 7 min'
    """
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours / 24:.1f} days"
