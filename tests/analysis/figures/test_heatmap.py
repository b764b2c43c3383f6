"""Heat maps that can be read: cells, numbers, colours, outlines and files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PatchCollection, QuadMesh
from matplotlib.colors import LogNorm, to_rgb

from analysis.figures import canvas, save_heatmap
from analysis.figures.heatmap import draw_heatmap
from analysis.heatmap import HeatMap, Margin, Within
from analysis.pivot import Cell
from analysis.quantities import Quantity
from analysis.runs import load_collection
from analysis.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALMOST_WHITE = 4.5


@pytest.fixture(scope="module")
def run(write_shared: Callable[..., Any]) -> Any:
    return load_collection([write_shared()]).runs[0]


@pytest.fixture
def make(run: Any) -> Callable[..., HeatMap]:
    """Make a heat map of values by panel, row and column; None is a run without a value."""

    def made(
        values: Mapping[tuple[str, str, str], float | None],
        better: str = "higher",
        key: str = "",
        near: Sequence[tuple[str, str, str]] = (),
    ) -> HeatMap:
        cells = {
            place: Cell(None if value is None else estimate([value]), (run,))
            for place, value in values.items()
        }
        panels, rows, columns = (tuple(dict.fromkeys(p[i] for p in values)) for i in range(3))
        gaps = {place: estimate([0.0 if place in near else 1.0]) for place in values}
        within = Within(Margin(0.01, True), gaps, frozenset()) if near else None
        quantity = Quantity("test_accuracy", "test accuracy", "1", better, lambda _: math.nan)
        keys = (key, "aggregation", "coding.load")
        return HeatMap(quantity, keys, panels, rows, columns, cells, (), within)

    return made


def drawn(heatmap: HeatMap) -> Figure:
    with canvas.settings():
        return draw_heatmap(heatmap)[0]


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def numbers_of(axes: Axes) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in axes.texts}


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours as WCAG 2.1 defines it."""
    found = []
    for color in (one, other):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        found.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(found) + 0.05) / (min(found) + 0.05)


def square(count: int, across: int = 0) -> dict[tuple[str, str, str], float | None]:
    across = across or count
    return {
        ("", f"r{row}", f"c{column}"): (row * across + column) / (count * across)
        for row in range(count)
        for column in range(across)
    }


def test_every_number_is_in_its_cell_and_can_be_read(make, laid_out):
    figure = drawn(make(square(9)))
    laid_out(figure)
    (axes,) = panels_of(figure)
    assert numbers_of(axes) == {
        (column + 0.5, row + 0.5): f"{(row * 9 + column) / 81:.3f}"
        for row in range(9)
        for column in range(9)
    }
    (mesh,) = [part for part in axes.collections if isinstance(part, QuadMesh)]
    colors = mesh.to_rgba(mesh.get_array()).reshape(81, 4)
    for text, color in zip(axes.texts, colors, strict=True):
        assert contrast(text.get_color(), color[:3]) > ALMOST_WHITE
    low, high = axes.get_ylim()
    assert low > high, "the first row is at the top"


def test_panels_share_one_scale(make, laid_out):
    values = {(panel, "r", c): v for panel, v in (("a", 0.1), ("b", 0.9)) for c in "xy"}
    figure = drawn(make(values, key="attack.kind"))
    laid_out(figure)
    assert len(figure.axes) == 3
    assert [axes.get_title(loc="left") for axes in panels_of(figure)] == ["kind = a", "kind = b"]
    scales = {axes.collections[0].get_clim() for axes in panels_of(figure)}
    assert scales == {(0.1, 0.9)}


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_bright_is_better_and_the_scale_says_which_way(make, better):
    figure = drawn(make({("", "r", "good"): 1.0, ("", "r", "bad"): 2.0}, better))
    (axes,) = panels_of(figure)
    first, second = axes.collections[0].to_rgba([1.0, 2.0])
    brighter = first if sum(first) > sum(second) else second
    assert (brighter == second).all() == (better == "higher")
    assert f"{better} is better" in figure.axes[-1].get_ylabel().replace("\n", " ")


def test_cells_without_a_number_are_told_apart(make, laid_out):
    values = {("", "a", "1"): 1.0, ("", "a", "2"): None, ("", "b", "2"): math.inf}
    figure = drawn(make(values, "lower"))
    names = laid_out(figure)
    assert names == ["runs without a value", "no runs", "∞: never reached, or infinite"]
    (axes,) = panels_of(figure)
    looks = [part for part in axes.collections if isinstance(part, PatchCollection)]
    assert [part.get_hatch() for part in looks] == [None, "/////", None]
    assert len({tuple(part.get_facecolor()[0]) for part in looks}) == 3
    assert numbers_of(axes) == {(0.5, 0.5): "1.00", (1.5, 1.5): "∞"}


@pytest.mark.parametrize("value", [None, math.inf])
def test_a_heat_map_without_any_number_can_be_drawn(make, laid_out, value):
    figure = drawn(make({("", "a", "1"): value}))
    laid_out(figure)
    assert figure.axes == panels_of(figure)


def test_a_wide_range_has_a_logarithmic_scale_that_outliers_do_not_stretch(make, laid_out):
    finals = [0.0, 1e-3, 0.1, 2.0, 1e200]
    values = {("", "r", f"{place}"): final for place, final in enumerate(finals)}
    figure = drawn(make(values, "lower"))
    laid_out(figure)
    (axes,) = panels_of(figure)
    assert isinstance(axes.collections[0].norm, LogNorm)
    assert axes.collections[0].get_clim()[1] < 1e9
    assert list(numbers_of(axes).values()) == ["0.00", "0.00100", "0.100", "2.00", "1.00e200"]
    # A share of samples keeps its linear scale.
    figure = drawn(make({("", "r", "1"): 0.001, ("", "r", "2"): 0.9}, "higher"))
    assert not isinstance(panels_of(figure)[0].collections[0].norm, LogNorm)


def test_numbers_shrink_and_are_left_out_if_they_do_not_fit(make, laid_out):
    sizes = []
    for across in (5, 20, 60):
        with canvas.settings():
            figure, caption = draw_heatmap(make(square(3, across)))
        laid_out(figure)
        (axes,) = panels_of(figure)
        sizes.append(axes.texts[0].get_fontsize() if axes.texts else 0.0)
        assert ("too small for numbers" in caption) == (not axes.texts)
    assert sizes[0] > sizes[1] > sizes[2] == 0.0


@pytest.mark.parametrize("count", [1, 2, 5, 24])
def test_any_number_of_panels_can_be_read(make, laid_out, count):
    values = {
        (f"attack {panel}", f"rule {row}", str(column)): float(row + column)
        for panel in range(count)
        for row in range(4)
        for column in range(6)
    }
    figure = drawn(make(values, key="attack" if count > 1 else ""))
    laid_out(figure)
    assert len(panels_of(figure)) == count
    assert all(len(axes.texts) == 24 for axes in panels_of(figure))


@pytest.mark.parametrize("shape", [(100, 2), (2, 100), (40, 40)])
def test_many_rows_and_columns_can_be_read(make, laid_out, shape):
    figure = drawn(make(square(*shape)))
    laid_out(figure)


def test_the_outline_is_the_edge_of_the_cells_that_are_near(make, laid_out):
    near = [("", "r0", "c1"), ("", "r0", "c2"), ("", "r1", "c2")]
    figure = drawn(make(square(2, 3), near=near))
    assert laid_out(figure) == ["within 1 % of exact recovery"]
    (axes,) = panels_of(figure)
    lines = [part for part in axes.collections if isinstance(part, LineCollection)]
    edges = {tuple(map(tuple, np.array(s).tolist())) for s in lines[-1].get_segments()}
    assert edges == {
        ((1, 0), (2, 0)), ((2, 0), (3, 0)), ((3, 0), (3, 1)), ((3, 1), (3, 2)),
        ((2, 2), (3, 2)), ((2, 1), (2, 2)), ((1, 1), (2, 1)), ((1, 0), (1, 1)),
    }  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_any_label_is_drawn_as_it_is(make, laid_out):
    nasty = "$\\frac{1}{0}$ ^_% \x1b[31m\n<img> a name that is too long for a row of cells"
    values = {(nasty, nasty, c): 1.0 for c in (nasty, "10")}
    figure = drawn(make(values, key=nasty))
    laid_out(figure)
    shown = [label.get_text() for label in panels_of(figure)[0].get_yticklabels()]
    assert "".join(shown[0].split()).startswith("$\\frac{1}{0}$^_%\\u001b[31m\\u000a<img>")


def test_files_and_formats(make, tmp_path):
    heatmap = make(square(2))
    written, caption = save_heatmap(heatmap, tmp_path / "new", ())
    assert [path.name for path in written] == [
        "heatmap_test_accuracy.pdf",
        "heatmap_test_accuracy.png",
    ]
    assert caption.startswith("Test accuracy by aggregation and coding.load.")
    again, _ = save_heatmap(heatmap, tmp_path / "again", ("svg", "pdf", "svg"))
    assert [path.suffix for path in again] == [".svg", ".pdf"]
    assert again[1].read_bytes() == written[0].read_bytes()
    (one,), _ = save_heatmap(heatmap, tmp_path / "deep" / "one.svg")
    assert one.read_bytes() == again[0].read_bytes()
