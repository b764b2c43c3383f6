"""Escape control characters that a terminal would interpret."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.errors import UsageError
from lad_mpi.text import one_line, printable
from lad_mpi.toml import tomllib

#: Unicode controls of text direction: embeddings, overrides, isolates and their ends.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(st.characters(codec="utf-8")))
def test_no_character_is_left_that_a_terminal_obeys(text):
    shown = one_line(text)
    assert not any(unicodedata.category(one) in {"Cc", "Zl", "Zp"} for one in shown)
    assert not any(unicodedata.bidirectional(one) in TURNING for one in shown)
    assert printable(shown) == one_line(shown) == shown
    assert printable(text).count("\n") == text.count("\n")


@given(st.text(st.characters(codec="utf-8")))
def test_json_with_escapes_says_the_same(text):
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("one", ["\x7f", "\x1b", "\u202e", "\u2069", "\u2028", "\x9b"])
def test_all_of_them_are_escaped_and_toml_reads_the_escapes(one):
    assert one_line(one) == f"\\u{ord(one):04x}"
    assert tomllib.loads(f'a = "{one_line(one)}"') == {"a": one}


def test_a_hint_follows_its_message_in_one_line():
    assert one_line(str(UsageError("no such file", hint="look"))) == "no such file; hint: look"
