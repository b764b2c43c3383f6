"""Bars end where their numbers say."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures import canvas
from analysis.figures.bars import Bar, draw_bars
from analysis.runs import load_collection


def ends(axes):
    """Return where the bars at each place end."""
    found = {}
    for bar in axes.patches:
        place = round(bar.get_y() + bar.get_height() / 2, 6)
        found[place] = max(found.get(place, 0.0), bar.get_x() + bar.get_width())
    return found


def numbers(axes):
    """Return the number at each place, and where it points."""
    return {round(text.xy[1], 6): (float(text.get_text()), text.xy[0]) for text in axes.texts}


def test_bars_of_phases_add_up_to_the_whole(study, draw, laid_out):
    figure, caption = draw("phase_times", load_collection([study]))
    (axes,) = figure.axes
    assert laid_out(figure) == ["compute", "aggregate", "communication, waiting"]
    np.testing.assert_allclose(list(ends(axes).values()), 3600.0)
    assert len(ends(axes)) == 8
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["Com-LAD", "DRACO"]
    assert "(ms)" in axes.get_xlabel()
    assert "slowest rank" in caption


@pytest.mark.parametrize(
    "parts",
    [
        {"compute": 3.0, "aggregate": 1.0, "communication": 1.0},
        # What medians leave: too little, too much, or work that exceeds the whole.
        {"compute": 3.0, "aggregate": 1.0, "communication": 0.2},
        {"compute": 3.0, "aggregate": 1.0, "communication": 7.0},
        {"compute": 8.0, "aggregate": 4.0, "communication": 0.0},
        {"compute": 4.96, "update": 0.02, "pack": 0.01, "communication": 0.01},
        {"communication": 0.0},
    ],
)
def test_a_bar_ends_where_its_number_says(parts, laid_out):
    with canvas.settings():
        figure = draw_bars([Bar("a", 5.0, parts), Bar("b", 2.5, {"compute": 1.0}, {"compute": 4})])
        laid_out(figure)
    (axes,) = figure.axes
    shown = numbers(axes)
    assert [number for number, _ in shown.values()] == [5.0, 2.5]
    for place, (number, where) in shown.items():
        assert ends(axes)[place] == pytest.approx(number)
        assert where == number
    # The bound of b is a bar of its own.
    assert sorted(ends(axes).values()) == pytest.approx([2.5, 4.0, 5.0])


def test_times_of_nothing_and_of_no_number_are_drawn(laid_out):
    with canvas.settings():
        figure = draw_bars([Bar("a", 0.0, {"compute": 0.0}), Bar("b", float("nan"), {})])
        laid_out(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.00", "–"]
