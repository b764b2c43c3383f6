"""Tables show every digit and every name, however narrow the terminal is."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.layout import LEAST_NAME, make_table
from lad_mpi.console import open_console

TITLES = ("method", "seeds", "final loss", "interval", "× exact", "dispersion")
BODY = [
    ("LAD", "12", "1.235e+04", "[1.235e+04, 1.236e+04]", "5.000", "1.50"),
    ("Com-LAD-CWTM-NNM with a very long name d=20", "2", "5.000", "(4.000 … 10.00)", "–", "1.51"),
    ("_one:smile:[bold]name[/bold]without/any/spaces,Q=10²,模型", "1", "7.125", "–", "–", "–"),
]

printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60).filter(
    lambda text: text.isprintable()
)


def rendered(width, body=BODY):
    stream = io.StringIO()
    console = open_console()
    console.file, console.width = stream, width
    console.print(make_table("Errors", TITLES, body))
    return stream.getvalue()


@pytest.mark.parametrize("width", [24, 32, 40, 60, 80, 200])
def test_every_number_is_whole_and_beside_a_name(width):
    shown = rendered(width)
    lines = shown.splitlines()
    for name, *cells in BODY:
        for cell in cells:
            # Below 40 columns an interval may take two lines, one for each end.
            for piece in [cell] if width >= 40 else cell.split():
                assert any(piece in line for line in lines), (piece, width)
        assert squeezed(name) in squeezed(names_of(shown)), (name, width)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_every_table_begins_with_the_names(width):
    tables = rendered(width).rstrip().split("\n\n")
    assert len(tables) == {40: 3, 60: 2, 80: 1, 200: 1}[width]
    for table in tables:
        title, heads, rule, *_ = table.splitlines()
        assert title.startswith("Errors")
        assert heads.startswith("method")
        assert set(rule.strip()) == {"─"}
        assert max(map(len, table.splitlines())) <= width
    assert {
        head for table in tables for head in re.split("  +", table.splitlines()[1].strip())
    } == {*TITLES}


@settings(max_examples=60, deadline=None)
@given(name=printable, width=st.integers(LEAST_NAME + 24, 120))
def test_any_printable_name_is_shown_as_it_is(name, width):
    shown = rendered(width, [(name, "1", "2.345", "–", "–", "–")])
    assert squeezed(name) in squeezed(names_of(shown))
    assert "2.345" in shown


def test_a_terminal_too_narrow_for_a_table_gets_a_block_a_method():
    shown = rendered(24)
    assert "  final loss: 1.235e+04" in shown
    assert max(map(len, shown.splitlines())) <= 24


def names_of(shown):
    """Put the pieces of folded names together again: what stands in the first column."""
    return "".join(re.split(r"  +", line)[0] for line in shown.splitlines())


def squeezed(text):
    return re.sub(r"\s", "", text)
