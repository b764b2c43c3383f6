"""Conditions on the keys of specs."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.errors import UsageError
from lad_mpi.spec import parse_where, spec_facts

FACTS = spec_facts(
    {
        "name": "lad = d",
        "devices": {"count": 100, "byzantine": 30},
        "attack": {"kind": "ipm", "tau": 0.5},
        "aggregation": {"kind": "krum", "pre": ["nnm", {"kind": "clip", "threshold": 2.0}]},
        "data": {"standardize": False},
        "optimizer": {"schedule": {"kind": "cosine"}},
    }
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("attack.kind=ipm", True),
        ("attack=ipm", True),
        ("attack == 'ipm'", True),
        ("attack != ipm", False),
        ("attack in (alie, ipm)", True),
        ("attack not in (alie, ipm)", False),
        ("attack=ipm and devices.byzantine>=20", True),
        ("attack=ipm and devices.byzantine>30", False),
        ("attack=alie or devices.byzantine<=30", True),
        ("not (attack=alie or devices.byzantine<=30)", False),
        ("attack.tau=0.5", True),
        ("attack.tau > -1e-3", True),
        ("aggregation.pre='nnm+clip'", True),
        ("aggregation.pre=none", False),
        ("data.standardize=false", True),
        ("data.standardize=0", False),
        ("optimizer.schedule=cosine", True),
        ("name='lad = d'", True),
        ("coding.load=3", False),
        ("coding.load!=3", True),
        ("coding.load<3", False),
    ],
)
def test_a_condition_holds_or_not(text, holds):
    assert parse_where(text).matches(FACTS) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a condition"),
        ("attack.kind", "expected KEY=VALUE"),
        ("attack.kind=", "is not a condition"),
        ("1 < devices.byzantine", "expected a key of a spec"),
        ("1 < devices.byzantine < 3", "expected KEY=VALUE"),
        ("attack in ()", "the list of values is empty"),
        ("attack = (ipm, alie)", "a list of values follows 'in'"),
        ("attack is ipm", "the operators are"),
        ("__import__('os').system('true')", "expected KEY=VALUE"),
        ("attack = open('x')", "a value is a number, a word, or a text in quotes"),
        ("attack = -true", "a value is a number"),
        ("(" * 500 + "a=1" + ")" * 500, "is not a condition"),
    ],
)
def test_what_is_not_a_condition_is_refused(text, message):
    with pytest.raises(UsageError, match="is not a condition") as caught:
        parse_where(text)
    assert message in str(caught.value)


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no run has the key 'devices.byzantin'; did you mean"):
        parse_where("attack=ipm or devices.byzantin=3").check(FACTS)


def test_a_number_is_not_ordered_against_a_text():
    with pytest.raises(UsageError, match=r"compares devices.byzantine = 30 with 'many'"):
        parse_where("devices.byzantine > many").matches(FACTS)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text):
    with contextlib.suppress(UsageError):
        parse_where(text).matches(FACTS)
