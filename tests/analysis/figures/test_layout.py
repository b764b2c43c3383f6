"""Figures can be read at any number of methods and with any names."""

from __future__ import annotations

import pytest

from analysis.figures import canvas, drawings_of
from analysis.runs import load_collection

HOSTILE = (
    "_hidden", "Q=10²", "$x$ and $y$", "50 % of \\alpha^{2}_i", "{}", "a_b^c", "#&~", "方法 κ ☃",
    "W" * 80, "a name of many words that is as long as names in tables may be, eighty of them",
    "-", "1",
)  # fmt: skip


@pytest.mark.parametrize("count", [1, 10, 30, 60])
def test_all_texts_are_inside_and_apart(count, write_methods, tmp_path, draw, laid_out):
    write_methods(count)
    collection = load_collection([tmp_path])
    assert len(collection.methods) == count
    for name in drawings_of(collection):
        if count in {10, 30} and name in {"loss_against_seconds", "loss_against_uplink"}:
            # They have the panels of the losses against iterations.
            continue
        drawn = draw(name, collection)
        if drawn is None:
            assert (name, count) == ("error_against_load", 1)
            continue
        laid_out(drawn[0])
        for told in ("N = 10 devices", "f = 2", "attack:", "data: synthetic"):
            assert told in drawn[0].get_suptitle()


def test_every_line_is_named_once(write_methods, tmp_path, draw, laid_out):
    write_methods(60)
    figure, _ = draw("loss_against_iterations", load_collection([tmp_path]))
    names = laid_out(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(set(titles)) == len(titles) == 12
    named = [
        (axes.get_title(loc="left"), line.get_label())
        for axes in figure.axes
        for line in axes.lines
        if line.get_label() in names
    ]
    assert len(set(named)) == len(named) == 60
    # A name has one look, and no other name has it.
    looks = {
        line.get_label(): (line.get_color(), line.get_linestyle())
        for axes in figure.axes
        for line in axes.lines
        if line.get_label() in names
    }
    samples = {
        text.get_text(): (line.get_color(), line.get_linestyle())
        for text, line in zip(
            figure.legends[0].get_texts(), figure.legends[0].get_lines(), strict=True
        )
    }
    assert set(samples) == {*looks, "other methods"}
    assert all(samples[name] == look for name, look in looks.items())
    assert len(set(samples.values())) == len(samples)


def test_any_printable_name_is_shown_as_it_is(write_run, tmp_path, draw, laid_out):
    for place, name in enumerate(HOSTILE):
        write_run(f"{place}.h5", name=name, optimizer={"step_size": 0.1 + place})
    collection = load_collection([tmp_path])
    escaped = {name.replace("方法", "\\u65b9\\u6cd5").replace(" ", "") for name in HOSTILE}
    for figure_name in ("loss_against_iterations", "phase_times"):
        figure, _ = draw(figure_name, collection)
        shown = figure.legends[0].get_texts() if "loss" in figure_name else []
        shown = shown or figure.axes[0].get_yticklabels()
        laid_out(figure)
        assert {"".join(text.get_text().split()) for text in shown} == escaped
        assert not any(text.get_parse_math() for text in shown)


def test_long_names_are_broken_and_short_ones_are_not():
    assert canvas.fold_name("LAD-CWTM d=5", 100) == "LAD-CWTM d=5"
    assert canvas.fold_name("one two three four", 50).count("\n") == 1
    assert canvas.fold_name("W" * 40, 100).replace("\n", "") == "W" * 40
    assert canvas.fold_name("W", 1) == "W"
