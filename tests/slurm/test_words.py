"""Values as words: what bash and sbatch make of them."""

import subprocess
from pathlib import Path

import pytest

from lad_mpi.slurm.words import control_character, default_word, path_word, sbatch_word

TEXTS = [
    "", "a", " a  b ", "it's", 'a"b', "a\\b", "a\\\\b", "$(touch PWNED)", "`touch PWNED`", "a}b",
    "${a}", "~", "*", "a;b&c|d>e<f", "#a", "a#b", "!a", "é", "-a", "$'a\\nb'", "=(a)",
]  # fmt: skip


def read_by_sbatch(line):
    """Read a word as ``_get_argument`` of SLURM's src/sbatch/opt.c does."""
    word, quote, is_escaped = "", "", False
    for character in line:
        if not quote and character.isspace():
            break
        if is_escaped:
            is_escaped = False
            word += character
        elif character == "\\":
            is_escaped = True
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif not quote and character == "#":
            break
        else:
            word += character
    return word


@pytest.mark.parametrize("text", TEXTS)
def test_sbatch_reads_what_was_meant(text):
    assert read_by_sbatch(f"--comment={sbatch_word(text)} --other") == f"--comment={text}"


def test_bash_reads_defaults_as_they_were_meant(tmp_path):
    lines = [f"X=${{NAME:-{default_word(text)}}}\nprintf '%s\\n' \"$X\"" for text in TEXTS]
    done = subprocess.run(
        ["bash", "-u", "-c", "\n".join(lines)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == TEXTS
    assert list(tmp_path.iterdir()) == []


def test_words_that_need_no_quotes_have_none():
    for text in ("/scratch/a_b-1.0/%x_%j.out", "gcc/12:x", "afterok:7,8@9+1hour=2"):
        assert sbatch_word(text) == text
    assert default_word(".venv") == ".venv"


def test_no_path_is_taken_for_an_option():
    assert path_word(Path("-rf")) == path_word(Path("./-rf")) == "./-rf"
    assert path_word(Path("a/-rf")) == "a/-rf"
    assert path_word(Path("/-rf")) == "/-rf"


@pytest.mark.parametrize("text", ["\n", "a\rb", "a\x1b[2J", "\x00", "\x85", "\u2028", "\t"])
def test_control_characters_are_found_and_shown_as_escapes(text):
    assert control_character(text).startswith("'\\")
    assert control_character("a b é \U0001f600 \\n") == ""
