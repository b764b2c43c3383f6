"""Figures can be read at any number of methods and with any names."""

from __future__ import annotations

import pytest

from analysis.figures import FIGURES, canvas
from analysis.runs import load_collection

HOSTILE = (
    "_hidden", "Q=10²", "$x$ and $y$", "50 % of \\alpha^{2}_i", "{}", "a_b^c", "#&~", "方法 κ ☃",
    "W" * 80, "a name of many words that is as long as names in tables may be, eighty of them",
    "-", "1",
)  # fmt: skip


@pytest.mark.parametrize("count", [1, 10, 30, 60])
def test_all_texts_are_inside_and_apart(count, write_methods, tmp_path, laid_out):
    write_methods(count)
    collection = load_collection([tmp_path])
    for name, draw in FIGURES.items():
        with canvas.settings():
            drawn = draw(collection)
            if drawn is None:
                assert (name, count) == ("error_against_load", 1)
            else:
                laid_out(drawn[0])


def test_any_printable_name_is_shown_as_it_is(write_run, tmp_path, laid_out):
    for place, name in enumerate(HOSTILE):
        write_run(f"{place}.h5", name=name, optimizer={"step_size": 0.1 + place})
    collection = load_collection([tmp_path])
    for draw in FIGURES.values():
        with canvas.settings():
            drawn = draw(collection)
            if drawn is not None:
                laid_out(drawn[0])


def test_dump(write_run, tmp_path):
    for place, name in enumerate(HOSTILE):
        write_run(f"{place}.h5", name=name, optimizer={"step_size": 0.1 + place})
    collection = load_collection([tmp_path])
    for name, draw in FIGURES.items():
        with canvas.settings():
            drawn = draw(collection)
            if drawn is not None:
                drawn[0].savefig(f"/tmp/figures/new/hostile-{name}.png")
