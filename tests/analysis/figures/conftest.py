"""What a figure must look like, whatever it shows."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from analysis.figures import canvas, drawings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from analysis.runs import Collection

#: Pixels by which boxes may touch: text has no sharp edges.
SLACK = 1.5


def texts(figure: Figure) -> Iterator[Text]:
    """Yield all texts that are drawn; ticks outside the axes are not."""
    yield from figure.texts
    if figure._suptitle is not None:
        yield figure._suptitle
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from axes.texts
        yield from (axes._left_title, axes.title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (*axis.get_major_ticks(), *axis.get_minor_ticks())
            yield from (tick.label1 for tick in ticks if low <= tick.get_loc() <= high)


def overlap(one: Any, other: Any) -> bool:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > SLACK and height > SLACK


@pytest.fixture
def laid_out() -> Callable[[Figure], list[str]]:
    """Check that all of a figure can be seen and read; return the names in its legend."""

    def check(figure: Figure) -> list[str]:
        with canvas.settings():
            figure.canvas.draw()
        # matplotlib labels the axes of a colour scale like this.
        panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
        inner = [axes.get_window_extent() for axes in panels]
        assert all(min(box.width, box.height) > 0.4 * figure.dpi for box in inner)
        shown = [text for text in texts(figure) if text.get_visible() and text.get_text().strip()]
        boxes = {text: text.get_window_extent() for text in shown}
        edge = figure.bbox
        for text, box in boxes.items():
            inside = (
                box.x0 >= edge.x0 - SLACK
                and box.y0 >= edge.y0 - SLACK
                and box.x1 <= edge.x1 + SLACK
                and box.y1 <= edge.y1 + SLACK
            )
            assert inside, f"outside the figure: {text.get_text()!r}"
        for (one, left), (other, right) in combinations(boxes.items(), 2):
            assert not overlap(left, right), f"{one.get_text()!r} on {other.get_text()!r}"
        for legend in figure.legends:
            assert not any(overlap(legend.get_window_extent(), box) for box in inner)
        names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert len(set(names)) == len(names)
        return names

    return check


@pytest.fixture
def draw() -> Callable[..., Any]:
    """Draw a figure of a collection as it is when it is saved."""

    def drawn(
        name: str, collection: Collection, metrics: tuple[str, ...] = ()
    ) -> tuple[Figure, str] | None:
        with canvas.settings():
            return drawings_of(collection, metrics)[name]()

    return drawn


@pytest.fixture
def write_methods(write_run: Callable[..., Path]) -> Callable[..., None]:
    """Write logs of rules at loads, as many methods as asked for."""

    def write(count: int) -> None:
        rules = ("mean", "median", "krum", "trimmed_mean", "meamed", "geometric_median")
        loads = (1, 2, 3, 5, 10)
        steps = ([], ["nnm"])
        for place in range(count):
            load = loads[place % len(loads)]
            which, step = divmod(place // len(loads), len(steps))
            rule = rules[which % len(rules)]
            write_run(
                f"{place}.h5",
                name=f"{rule}{'-nnm' * step} d={load}",
                coding={"load": load},
                aggregation={"kind": rule, "pre": steps[step]},
            )

    return write
