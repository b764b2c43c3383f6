"""TOML that is too long or nests too deeply is refused at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.toml import MOST_BYTES, MOST_LEVELS, parse_toml

DEEP = MOST_LEVELS + 1
KEY = ".".join("a" * 10_000)
#: Strings and comments that contain what looks like their end.
DECOYS = [
    "'x'", '"x"', '"\\""', "'\\'", "''''x'''''", '""""x"""""', '"""\\""""', "''''''", '""""""',
    '"\'"', "'\"'", '"""a\n"b" \'\'\' """', "'''a\n'b' \"\"\" '''", "1, # '\n", '1, # """\n',
    '"\\\\"', '"#"', "'#'",
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY} = 1",
        f"[{KEY}]",
        f"[[{KEY}]]",
        f"a = {{ {KEY} = 1 }}",
        f"a = {'[' * 10_000}",
        f"a = {'[' * DEEP}{']' * DEEP}",
        f"a = {'{a = ' * DEEP}1{'}' * DEEP}",
        "\n".join(f"[{'.'.join('a' * n)}]" for n in (10, 20, DEEP)),
        f"[{'.'.join('a' * 20)}]\n{'.'.join('b' * 20)} = 1",
        f"{' . '.join(['a', repr('b')] * DEEP)} = 1",
    ],
    ids=lambda text: text[:12],
)
def test_deep_documents_are_refused(text):
    with pytest.raises(ValueError, match="nests deeper than 32 levels"):
        parse_toml(text)


@given(st.lists(st.sampled_from(DECOYS), max_size=4), st.booleans())
def test_no_string_or_comment_hides_deep_nesting(decoys, is_key):
    values = [decoy if "#" in decoy and "\n" in decoy else f"{decoy}, " for decoy in decoys]
    assert parse_toml(f"a = [{''.join(values)}]")
    with pytest.raises(ValueError, match="nests deeper"):
        parse_toml(f"a = [{''.join(values)}{f'{{{KEY} = 1}}' if is_key else '[' * 10_000}]")


@given(st.lists(st.sampled_from([*DECOYS, "1.5", "[]", "{}", "{a.b = 1}", "[[1]]"])))
def test_shallow_values_are_accepted_at_any_length(values):
    text = "\n".join(f"{'.'.join('k' * 20)}{i} = [{v}\n]" for i, v in enumerate(values * 20))
    assert len(parse_toml(text)) == (1 if values else 0)


def test_a_document_at_the_limit_is_read():
    assert parse_toml(f"{'.'.join('a' * MOST_LEVELS)} = 1")
    assert parse_toml(f"a = {'[' * (MOST_LEVELS - 1)}{']' * (MOST_LEVELS - 1)}")


@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''", '"""\\"', '"\\'])
def test_unterminated_strings_are_refused(quote):
    with pytest.raises(ValueError, match=r"(?i)at end of document|at line|unterminated|illegal"):
        parse_toml(f"a = {quote * 20_001}")


def test_long_documents_and_long_integers_are_refused():
    with pytest.raises(ValueError, match=f"larger than {MOST_BYTES} bytes"):
        parse_toml("#" * (MOST_BYTES + 1))
    for digits in ("9" * 1000, "0x" + "f" * 9000, "9" * 9000):
        with pytest.raises(ValueError, match="integer"):
            parse_toml(f"a = [{digits}]")
