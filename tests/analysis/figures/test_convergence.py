"""Curves of losses: their values, their scales, and what is beyond these."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis.figures.convergence import median_curve
from analysis.runs import load_collection
from lad_mpi.errors import UsageError
from lad_mpi.types import Metric

LOSSES = ("loss_against_iterations", "loss_against_seconds", "loss_against_uplink")


def lines(figure):
    """Return all named lines of a figure, by name."""
    found = [line for axes in figure.axes for line in axes.lines]
    return {line.get_label(): line for line in found if not line.get_label().startswith("_child")}


@pytest.mark.parametrize("name", LOSSES)
def test_every_method_is_named_once_in_its_colour(study, name, draw, laid_out):
    collection = load_collection([study])
    figure, caption = draw(name, collection)
    drawn = lines(figure)
    names = laid_out(figure)
    assert sorted(names) == sorted(drawn) == sorted(m.label for m in collection.methods)
    pairs = zip(names, figure.legends[0].get_lines(), strict=True)
    looks = {name: (to_hex(s.get_color()), s.get_linestyle()) for name, s in pairs}
    assert looks == {
        name: (to_hex(line.get_color()), line.get_linestyle()) for name, line in drawn.items()
    }
    assert len(set(looks.values())) == len(looks)
    # Names stand in the order of the ends of the curves.
    ends = [drawn[name].get_ydata()[-1] for name in names]
    assert all(above >= below for above, below in pairwise(ends))
    (axes,) = figure.axes
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_yscale() == "log"
    assert "2 seeds" in caption


def test_a_rule_has_a_colour_and_its_loads_get_darker(study, draw):
    figure, _ = draw("loss_against_iterations", load_collection([study]))
    colors = {name: np.array(line.get_color()) for name, line in lines(figure).items()}
    colors = {name: [int(str(c)[i : i + 2], 16) for i in (1, 3, 5)] for name, c in colors.items()}
    shades = [sum(colors[f"LAD d={load}"]) for load in (1, 2, 5, 10)]
    assert shades == sorted(shades, reverse=True)
    assert all(max(colors[f"LAD d={d}"]) == colors[f"LAD d={d}"][2] for d in (1, 2, 5, 10))
    assert max(colors["LAD-NNM d=2"]) == colors["LAD-NNM d=2"][0]


def test_curves_are_medians_at_evaluated_points_and_the_end(study):
    collection = load_collection([study])
    method = next(method for method in collection.methods if method.label == "LAD d=2")
    runs = list(method.by_seed.values())
    curve = median_curve(runs, "loss", lambda run: np.arange(len(run.iteration) + 1.0))
    assert curve.x.tolist() == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    np.testing.assert_allclose(curve.median[0], 75.0)
    np.testing.assert_allclose((curve.low[0], curve.high[0]), (50.0, 100.0))
    np.testing.assert_allclose(curve.median[-1], 7.5)


def test_time_starts_at_nothing_and_says_if_it_is_no_measure(write_run, tmp_path, draw):
    write_run()
    figure, caption = draw("loss_against_seconds", load_collection([tmp_path]))
    # Two warm-up iterations of 360 s, ten of 3.6 s.
    x = figure.axes[0].lines[0].get_xdata()
    np.testing.assert_allclose((x[0], x[-1]), (0.0, 756.0))
    assert "versubscribed" not in caption + figure.get_suptitle()
    write_run("b.h5", name="b", provenance={"oversubscribed": True})
    figure, caption = draw("loss_against_seconds", load_collection([tmp_path]))
    assert "Oversubscribed" in caption
    assert "oversubscribed" in figure.get_suptitle()


def test_times_of_other_conditions_are_lines_of_their_own(write_run, tmp_path, draw, laid_out):
    write_run("a.h5", name="a", ranks=3)
    write_run("b.h5", name="a", ranks=5, seed=2)
    # Begun on 3 ranks and resumed on 5: no time of a whole run.
    write_run("c.h5", name="a", launches=[(3, 6), (5, 12)], seed=3)
    collection = load_collection([tmp_path])
    figure, _ = draw("loss_against_iterations", collection)
    assert laid_out(figure) == ["a"]
    figure, _ = draw("loss_against_seconds", collection)
    assert sorted(laid_out(figure)) == ["a (ranks=3)", "a (ranks=5)"]
    drawn = lines(figure)
    # The loss of a run of the fixture is in proportion to its seed.
    assert [drawn[f"a (ranks={p})"].get_ydata()[0] for p in (3, 5)] == pytest.approx([50, 100])


def test_very_different_traffic_takes_a_logarithmic_axis(study, write_run, draw):
    figure, _ = draw("loss_against_uplink", load_collection([study]))
    assert figure.axes[0].get_xscale() == "linear"
    write_run("short.h5", name="short", iterations=2)
    figure, _ = draw("loss_against_uplink", load_collection([study]))
    assert figure.axes[0].get_xscale() == "log"
    assert all((line.get_xdata() > 0).all() for line in figure.axes[0].lines)


def with_losses(collection, label, change):
    (method,) = (method for method in collection.methods if method.label == label)
    for run in method.runs:
        change(run.metrics["loss"])


def test_a_line_that_diverges_leaves_the_axes_and_is_told(write_run, tmp_path, draw):
    write_run("a.h5", name="a", final_loss=1e200)
    write_run("b.h5", name="b")
    figure, caption = draw("loss_against_iterations", load_collection([tmp_path]))
    assert figure.axes[0].get_ylim()[1] == pytest.approx(30 * 50.0)
    assert "Above the axes at the end: a." in caption


def test_losses_of_zero_fall_out_of_the_axes_and_negative_ones_have_a_linear_one(
    write_run, tmp_path, draw, laid_out
):
    write_run("a.h5", name="a", final_loss=0.0)
    collection = load_collection([tmp_path])
    figure, _ = draw("loss_against_iterations", collection)
    laid_out(figure)
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylim()[0] > 0
    with_losses(collection, "a", lambda loss: loss.__imul__(-1))
    figure, _ = draw("loss_against_iterations", collection)
    laid_out(figure)
    assert figure.axes[0].get_yscale() == "linear"


def test_a_method_without_finite_losses_is_told_and_a_single_point_is_marked(
    write_run, tmp_path, draw, laid_out
):
    write_run("a.h5", name="a", final_loss=float("nan"))
    write_run("b.h5", name="b")
    collection = load_collection([tmp_path])
    with_losses(collection, "a", lambda loss: loss.fill(np.inf))
    figure, caption = draw("loss_against_iterations", collection)
    assert laid_out(figure) == ["b"]
    assert "a has no finite loss." in caption
    with_losses(collection, "b", lambda loss: loss.fill(np.nan))
    figure, _ = draw("loss_against_seconds", collection)
    laid_out(figure)
    assert lines(figure)["b"].get_marker() == "o"
    only = replace(collection, methods=collection.methods[:1])
    assert draw("loss_against_iterations", only) is None


def test_accuracies_have_a_linear_axis_that_says_what_is_better(accuracies, draw, laid_out):
    collection = load_collection([accuracies])
    figure, caption = draw("test_accuracy_against_iterations", collection)
    names = laid_out(figure)
    (axes,) = figure.axes
    assert axes.get_yscale() == "linear"
    assert axes.get_ylabel() == "test accuracy (↑ better)"
    assert "classified rightly; higher is better." in caption
    drawn = lines(figure)
    # The points that were evaluated are joined, whatever lies between them.
    assert drawn["LAD d=2"].get_xdata().tolist() == [0, 4, 8, 12]
    np.testing.assert_allclose(drawn["LAD d=2"].get_ydata(), [0.12, 0.32, 0.52, 0.67])
    ends = [drawn[name].get_ydata()[-1] for name in names]
    assert all(above >= below for above, below in pairwise(ends))


def test_a_metric_can_be_asked_for_and_an_unknown_one_is_refused(accuracies, draw, laid_out):
    collection = load_collection([accuracies])
    figure, _ = draw("beta_squared_against_uplink", collection, ("beta_squared",))
    laid_out(figure)
    assert figure.axes[0].get_ylabel() == "beta squared"
    with pytest.raises(UsageError, match="did you mean 'beta_squared'"):
        draw("", collection, ("beta_square",))


def test_the_best_lines_are_named_if_there_are_too_many(write_run, tmp_path, draw, laid_out):
    for place in range(26):
        values = np.linspace(0.1, 0.2 + 0.02 * place, 13).tolist()
        write_run(
            f"{place}.h5",
            name=f"m{place}",
            optimizer={"step_size": 1.0 + place},
            coding={"kind": "draco_repetition"},
            final_loss=float(place + 1),
            further={Metric("test_accuracy", "1", "accuracy", "higher"): values},
        )
    collection = load_collection([tmp_path])
    figure, caption = draw("test_accuracy_against_iterations", collection)
    named = set(laid_out(figure)) - {"other methods"}
    assert "best final test accuracy" in caption
    assert named == {f"m{place}" for place in range(14, 26)}
    figure, _ = draw("loss_against_iterations", collection)
    assert set(laid_out(figure)) - {"other methods"} == {f"m{place}" for place in range(12)}
