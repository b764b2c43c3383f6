"""Errors against load: no point is lost, and the law holds."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.load import relative_to_variance
from analysis.runs import load_collection


def family(axes, name):
    return next(line for line in axes.lines if line.get_label() == name)


def at_zero(axes):
    return [line for line in axes.lines if line.get_marker() == "v"]


def test_errors_fall_along_the_law(study, draw, laid_out):
    figure, caption = draw("error_against_load", load_collection([study]))
    loss, dispersion, error = figure.axes
    assert laid_out(figure) == [
        "nnm + trimmed mean", "trimmed mean", "zero", "exact recovery", "law of the dispersion",
    ]  # fmt: skip
    law = next(line for line in dispersion.lines if line.get_linewidth() == 3.0)
    loads, expected = np.asarray(law.get_xdata()), np.asarray(law.get_ydata())
    assert loads.tolist() == list(range(1, 10))
    np.testing.assert_allclose(expected, 10 * 7 / (8 * 9) * (10 - loads) / (loads * 9))
    run = load_collection([study / "lad2-1.h5"]).methods[0].runs[0]
    measured = relative_to_variance(run, run.metrics["honest_dispersion"])
    assert measured == pytest.approx(1.5 * expected[1])
    assert family(dispersion, "trimmed mean").get_ydata()[1] == pytest.approx(measured)
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    # At d = N nothing scatters.
    assert [len(at_zero(axes)) for axes in (loss, dispersion, error)] == [0, 1, 1]
    assert "zeros" in caption


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_losses_are_drawn_however_small(write_run, tmp_path, draw, scale):
    for load in (1, 2, 5):
        write_run(f"{load}.h5", name=str(load), coding={"load": load}, final_loss=scale / load)
    figure, _ = draw("error_against_load", load_collection([tmp_path]))
    axes = figure.axes[0]
    drawn = family(axes, "trimmed mean").get_ydata()
    np.testing.assert_allclose(drawn, scale / np.array([1, 2, 5]))
    low, high = axes.get_ylim()
    assert low < min(drawn) < max(drawn) < high
    assert not at_zero(axes)


def test_a_loss_of_zero_stands_below_and_one_that_is_no_number_nowhere(
    write_run, tmp_path, draw, laid_out
):
    for load, loss in ((1, 4.0), (2, 0.0), (3, float("nan")), (5, 1.0)):
        write_run(f"{load}.h5", name=str(load), coding={"load": load}, final_loss=loss)
    figure, _ = draw("error_against_load", load_collection([tmp_path]))
    assert "zero" in laid_out(figure)
    axes = figure.axes[0]
    np.testing.assert_array_equal(
        family(axes, "trimmed mean").get_ydata(), [4.0, np.nan, np.nan, 1.0]
    )
    (mark,) = at_zero(axes)
    assert mark.get_xdata()[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("devices", [{"momentum": 0.9}, {"batch_size": 4}])
def test_no_law_is_drawn_where_there_is_none(write_run, tmp_path, draw, devices):
    for load in (1, 2, 5):
        write_run(f"{load}.h5", name=str(load), coding={"load": load}, devices=devices)
    figure, caption = draw("error_against_load", load_collection([tmp_path]))
    assert not any(line.get_linewidth() == 3.0 for line in figure.axes[1].lines)
    assert "law" not in caption
    word = "momentum 0.9" if "momentum" in devices else "batches of 4"
    assert f"f = 2 of them Byzantine, {word};" in figure.get_suptitle()


def test_without_two_loads_there_is_no_figure(write_run, tmp_path, draw):
    write_run()
    assert draw("error_against_load", load_collection([tmp_path])) is None


def test_the_same_rule_against_other_faults_is_another_line(write_run, tmp_path, draw, laid_out):
    for faults in (1, 2, 3, 4):
        for load in (1, 2, 5):
            write_run(
                f"{faults}-{load}.h5",
                name=f"{faults}-{load}",
                coding={"load": load},
                devices={"byzantine": faults},
            )
    figure, _ = draw("error_against_load", load_collection([tmp_path]))
    assert laid_out(figure)[:4] == [f"trimmed mean, f = {faults}" for faults in (1, 2, 3, 4)]
    samples = figure.legends[0].get_lines()[:4]
    assert len({(line.get_color(), line.get_marker()) for line in samples}) == 4
    assert "f = 1 to 4 of them Byzantine" in figure.get_suptitle()


def test_accuracies_are_drawn_against_load_on_a_linear_axis(accuracies, draw, laid_out):
    figure, caption = draw("test_accuracy_against_load", load_collection([accuracies]))
    assert laid_out(figure) == ["trimmed mean", "exact recovery"]
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_ylabel() == "final test accuracy (↑ better)"
    drawn = family(axes, "trimmed mean").get_ydata()
    np.testing.assert_allclose(drawn, 0.87 - 0.4 / np.array([1, 2, 5, 10]))
    assert "higher is better" in caption
