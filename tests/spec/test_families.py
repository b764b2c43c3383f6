"""Packages that cannot be imported, or offer what is taken, end only what asks for them."""

import pytest

from lad_mpi.errors import SpecError
from lad_mpi.spec import FAMILIES, parse_spec

SHIFT = """
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Shift:
    kind: ClassVar[str] = "shift"

    def corrupt(self, coded, context):
        return coded


@dataclass(frozen=True)
class Mean:
    num_byzantine: int = 0
    kind: ClassVar[str] = "mean"

    def __call__(self, messages):
        return messages[0]


def function():
    pass
"""
ATTACKS = FAMILIES["attack"]


def refusal(mapping):
    with pytest.raises(SpecError) as raised:
        parse_spec(mapping)
    return raised.value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("raise OSError(28, 'No space left')", "OSError: [Errno 28] No space left"),
        ("def f(:", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line"),
        ("raise RuntimeError", "RuntimeError"),
        ("", "AttributeError: module 'broken' has no attribute 'Shift'"),
    ],
)
def test_what_cannot_be_imported_is_refused_only_where_it_is_asked_for(install, text, reason):
    install("broken", text, attacks={"shift": "Shift"})
    install("mylab", SHIFT.replace("shift", "push"), attacks={"push": "Shift"})
    assert parse_spec({}).attack.kind == "sign_flip"
    assert parse_spec({"attack": {"kind": "push"}}).attack.kind == "push"
    error = refusal({"attack": {"kind": "shift"}})
    expected = f"attack.kind: broken:Shift of broken 1.0 cannot be imported: {reason}"
    assert error.message == expected
    assert error.hint == "repair or uninstall broken, or take another attack"
    assert "push" in ATTACKS.members()
    assert "shift" not in ATTACKS.members()
    assert ATTACKS.unusable() == {"shift": expected.removeprefix("attack.kind: ")}


def test_ctrl_c_while_importing_is_nobodys_failure(install):
    install("broken", "raise KeyboardInterrupt", attacks={"shift": "Shift"})
    with pytest.raises(KeyboardInterrupt):
        parse_spec({"attack": {"kind": "shift"}})


def test_what_no_spec_asks_for_is_not_imported(install, tmp_path):
    mark = tmp_path / "imported"
    install("broken", f"open({str(mark)!r}, 'w')", attacks={"shift": "Shift"})
    parse_spec({"attack": {"kind": "zero"}})
    assert not mark.exists()


def test_two_packages_that_offer_one_kind_are_both_named(install):
    install("mylab", SHIFT, attacks={"shift": "Shift"})
    install("yourlab", "import not_there", version="3.1", attacks={"shift": "Push"})
    error = refusal({"attack": {"kind": "shift"}})
    assert error.message == (
        "attack.kind: more than one package offers the attack 'shift': "
        "mylab:Shift of mylab 1.0 and yourlab:Push of yourlab 3.1"
    )
    assert "shift" in ATTACKS.unusable()


def test_what_is_no_class_is_refused(install):
    install("mylab", SHIFT, attacks={"shift": "function"})
    error = refusal({"attack": {"kind": "shift"}})
    assert "mylab:function of mylab 1.0 is of type function, but must be a class" in error.message


def test_a_member_of_the_suite_cannot_be_replaced(install):
    install("mylab", SHIFT, rules={"mean": "Mean"})
    spec = parse_spec({"aggregation": {"kind": "mean"}})
    assert type(spec.aggregation.rule) is FAMILIES["aggregation"].table["mean"]
    (offer,) = FAMILIES["aggregation"].offered("mean")
    assert str(offer) == "mylab:Mean of mylab 1.0"


def test_an_unknown_kind_is_told_what_packages_offer(install):
    install("broken", "import not_there", attacks={"shift": "Shift"})
    assert "did you mean 'shift'?" in refusal({"attack": {"kind": "shifts"}}).message
