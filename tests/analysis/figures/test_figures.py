"""Figures name every method, keep its colour, and say what they show."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis import style
from analysis.cli import main
from analysis.figures import FIGURES, save
from analysis.figures.convergence import loss_curve
from analysis.figures.load import relative_to_variance
from analysis.runs import load_collection


def draw(name, *paths):
    with mpl.rc_context(style.SETTINGS):
        return FIGURES[name](load_collection(paths))


def names(figure):
    handles = [legend.get_texts() for legend in figure.legends]
    return [text.get_text() for texts in handles for text in texts]


def test_the_command_writes_all_figures_and_captions(study, tmp_path, capsys):
    folder = tmp_path / "new" / "figures"
    assert main(["figures", str(study), "-o", str(folder)]) == 0
    printed = capsys.readouterr().out.split()
    expected = {f"{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png")}
    assert {path.name for path in folder.iterdir()} == expected | {"captions.md"}
    assert sorted(printed) == sorted(map(str, folder.iterdir()))
    assert all(path.read_bytes()[:4] in {b"%PDF", b"\x89PNG"} for path in folder.glob("*.p*"))
    captions = (folder / "captions.md").read_text(encoding="utf-8")
    assert all(f"**{name}.**" in captions for name in FIGURES)


def test_a_folder_that_cannot_be_written_is_a_usage_error(study, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["figures", str(study), "-o", str(tmp_path / "file")]) == 2
    assert "cannot write figures" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in FIGURES if name.startswith("loss_")])
def test_convergence_names_every_method_in_its_colour(study, name):
    collection = load_collection([study])
    styles = style.method_styles(method.label for method in collection.methods)
    figure, caption = draw(name, study)
    (axes,) = figure.axes
    drawn = {line.get_label(): line for line in axes.lines}
    assert drawn.keys() == styles.keys()
    assert sorted(names(figure)) == sorted(styles)
    for label, look in styles.items():
        assert to_hex(drawn[label].get_color(), keep_alpha=False).upper() == look.color.upper()
        assert drawn[label].get_linestyle() == look.line
    # Names stand in the order of the ends of the curves.
    ends = [drawn[label].get_ydata()[-1] for label in names(figure)]
    assert all(above >= below for above, below in pairwise(ends))
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_yscale() == "log"
    assert "2 seeds" in caption


def test_curves_are_medians_at_evaluated_points_and_the_end(study):
    collection = load_collection([study])
    method = next(method for method in collection.methods if method.label == "LAD d=2")
    curve = loss_curve(method, lambda run: np.arange(len(run.iteration) + 1.0))
    assert curve.x.tolist() == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    np.testing.assert_allclose(curve.median[0], 75.0)
    np.testing.assert_allclose((curve.low[0], curve.high[0]), (50.0, 100.0))
    np.testing.assert_allclose(curve.median[-1], 7.5)


def test_time_starts_at_nothing_and_says_if_it_is_no_measure(write_run, tmp_path):
    write_run()
    figure, caption = draw("loss_against_seconds", tmp_path)
    # Two warm-up iterations of 360 s, ten of 3.6 s.
    x = figure.axes[0].lines[0].get_xdata()
    np.testing.assert_allclose((x[0], x[-1]), (0.0, 756.0))
    assert "versubscribed" not in caption + figure.axes[0].get_title(loc="left")
    write_run("b.h5", name="b", provenance={"oversubscribed": True})
    figure, caption = draw("loss_against_seconds", tmp_path)
    assert "Oversubscribed" in caption
    assert "oversubscribed" in figure.axes[0].get_title(loc="left")


def test_very_different_traffic_takes_a_logarithmic_axis(study, write_run):
    figure, _ = draw("loss_against_uplink", study)
    assert figure.axes[0].get_xscale() == "linear"
    write_run("short.h5", name="short", iterations=2)
    figure, _ = draw("loss_against_uplink", study)
    assert figure.axes[0].get_xscale() == "log"
    assert all((line.get_xdata() > 0).all() for line in figure.axes[0].lines)


def test_errors_fall_along_the_law(study):
    figure, caption = draw("error_against_load", study)
    left, right = figure.axes
    assert {"nnm + trimmed mean", "trimmed mean", "exact recovery"} <= set(names(figure))
    law = next(line for line in right.lines if line.get_label() == "law of the dispersion")
    loads, expected = np.asarray(law.get_xdata()), np.asarray(law.get_ydata())
    assert loads.tolist() == list(range(1, 10))
    np.testing.assert_allclose(expected, 10 * 7 / (8 * 9) * (10 - loads) / (loads * 9))
    run = load_collection([study / "lad2-1.h5"]).methods[0].runs[0]
    measured = relative_to_variance(run, run.metrics["honest_dispersion"])
    assert measured == pytest.approx(1.5 * expected[1])
    assert left.get_yscale() == right.get_yscale() == "log"
    assert "zeros" in caption


def test_without_two_loads_there_is_no_figure_of_loads(write_run, tmp_path, monkeypatch):
    write_run()
    assert draw("error_against_load", tmp_path) is None
    only = {name: FIGURES[name] for name in ("error_against_load", "phase_times")}
    monkeypatch.setattr(save, "FIGURES", only)
    written = save.save_figures(load_collection([tmp_path]), tmp_path / "out")
    assert [path.stem for path in written] == ["phase_times", "phase_times", "captions"]


def test_bars_of_phases_add_up_to_the_whole(study):
    figure, caption = draw("phase_times", study)
    (axes,) = figure.axes
    assert names(figure) == ["compute", "aggregate", "communication, waiting"]
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, 3600.0)
    assert len(ends) == 8
    assert "(ms)" in axes.get_xlabel()
    assert "slowest rank" in caption


def test_styles_are_distinct_and_do_not_depend_on_order():
    labels = [f"method {number}" for number in range(28)]
    styles = style.method_styles(labels)
    assert styles == style.method_styles(reversed(labels))
    assert len({(look.color, look.line) for look in styles.values()}) == 28
    some = ["method 10", "method 2", "method 1"]
    assert list(style.method_styles(some)) == ["method 1", "method 2", "method 10"]
