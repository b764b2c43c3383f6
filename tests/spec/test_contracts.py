"""Components of other packages: what they lack is said before a run, and by name."""

import sys
from typing import Protocol

import pytest

from lad_mpi.errors import ParameterError, SpecError
from lad_mpi.spec import FAMILIES, Spec, parse_spec
from lad_mpi.spec.contracts import complaints, complaints_about, offers_all_of

HEAD = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

"""
RULE = """
@dataclass(frozen=True)
class Component:
    num_byzantine: int = 0
    kind: ClassVar[str] = "new"

    def __call__(self, messages):
        return messages.mean(axis=0)
"""
ATTACK = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"

    def corrupt(self, coded, context):
        return coded
"""
CODE = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"
    needs_exact_messages: ClassVar[bool] = False
    message_parts: ClassVar[int] = 1

    @property
    def varies(self):
        return False

    def check(self, num_devices, num_byzantine):
        pass

    def assign(self, num_devices, num_byzantine, streams, iteration):
        from lad_mpi.coding import Assignment
        return Assignment(np.arange(num_devices)[:, None], np.ones((num_devices, 1)))
"""
CODEC = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"
    wire_code: ClassVar[int] = 99
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = True

    def check(self, dimension):
        pass

    def payload_bytes(self, dimension, dtype):
        return dimension * dtype.itemsize

    def delta(self, dimension):
        return 0.0

    def encode(self, vectors, channel):
        return vectors.view(np.uint8)

    def decode(self, payloads, channel):
        return payloads.view(channel.dtype), np.zeros(len(payloads), dtype=np.int64)
"""
DATA = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"

    def read(self):
        raise NotImplementedError

    def digest(self):
        return "sha256:" + 64 * "0"
"""
MODEL = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"
    has_bias: ClassVar[bool] = False

    @property
    def task(self):
        return "regression"

    def build(self, form, backend):
        raise NotImplementedError
"""
OPTIMIZER = """
@dataclass(frozen=True)
class Component:
    kind: ClassVar[str] = "new"

    def initial_state(self, like):
        return {}

    def direction(self, estimate, state, iteration):
        return estimate
"""
SOUND = {
    "attack": ATTACK,
    "aggregation": RULE,
    "pre": RULE.replace(".mean(axis=0)", ""),
    "coding": CODE,
    "compression": CODEC,
    "data": DATA,
    "model": MODEL,
    "optimizer": OPTIMIZER,
}
TABLES = {
    "pre": {"aggregation": {"kind": "mean", "pre": ["new"]}},
    **{family: {family: {"kind": "new"}} for family in SOUND if family != "pre"},
}
PLACES = {family: "aggregation.pre[0]" if family == "pre" else family for family in SOUND}


@pytest.fixture
def read(install):
    """Read a spec that asks for a component of another package, with its text changed."""

    def read(family, *changes, append=""):
        text = HEAD + SOUND[family] + append
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        install("mylab", text, **{FAMILIES[family].group.split(".")[1]: {"new": "Component"}})
        return parse_spec(TABLES[family])

    return read


def complaint(read, family, *changes, **more):
    with pytest.raises(SpecError) as raised:
        read(family, *changes, **more)
    assert raised.value.exit_code == 2
    assert raised.value.key == f"{PLACES[family]}.kind"
    assert "mylab 1.0 offers it" in raised.value.hint
    before, _, after = raised.value.message.partition("class mylab.Component ")
    assert before == f"{PLACES[family]}.kind: "
    return after


@pytest.mark.parametrize("family", SOUND)
def test_a_sound_component_of_every_family_is_taken(read, family):
    assert read(family)


def test_a_misspelt_method_is_named_with_its_signature_and_the_slip(read):
    """It ran as no attack, and was reported complete."""
    found = complaint(read, "attack", ("def corrupt(", "def corrupted("))
    assert found == "lacks corrupt(self, coded, context); did you misspell it as 'corrupted'?"


def test_to_derive_from_a_protocol_is_not_to_keep_it(read):
    head = ("import numpy as np", "import numpy as np\nfrom lad_mpi.attacks import LocalAttack")
    derived = ("class Component:", "class Component(LocalAttack):")
    found = complaint(read, "attack", head, derived, ("def corrupt(", "def corrupted("))
    assert found == "lacks corrupt(self, coded, context); did you misspell it as 'corrupted'?"


def test_to_derive_from_an_optional_protocol_is_to_keep_it(read):
    head = ("import numpy as np", "from lad_mpi.aggregation import CoordinateWiseRule")
    found = complaint(read, "aggregation", head, ("Component:", "Component(CoordinateWiseRule):"))
    assert found == "lacks column_kernel(self, num_messages)"


def test_a_sound_class_may_derive_from_its_protocol(read):
    head = ("import numpy as np", "import numpy as np\nfrom lad_mpi.attacks import LocalAttack")
    assert read("attack", head, ("class Component:", "class Component(LocalAttack):"))


@pytest.mark.parametrize(
    ("family", "old", "new", "expected"),
    [
        ("attack", "corrupt(", "spoil(", "lacks corrupt(self, coded, context), craft("),
        ("aggregation", "__call__", "aggregate", "lacks __call__(self, messages)"),
        ("aggregation", "num_byzantine:", "num_byzantines:", "misspell it as 'num_byzantines'?"),
        ("pre", "__call__", "transform", "lacks __call__(self, messages)"),
        ("coding", "def assign(", "def asign(", "did you misspell it as 'asign'?"),
        ("compression", "def decode(", "def decodes(", "lacks decode(self, payloads, channel)"),
        ("compression", "wire_code:", "wirecode:", "lacks wire_code: ClassVar[int]; did you"),
        ("data", "def read(", "def reads(", "lacks read(self)"),
        ("model", "def build(", "def builds(", "lacks build(self, form, backend)"),
        ("model", "has_bias:", "has_biases:", "misspell it as 'has_biases'?"),
        ("optimizer", "def direction(", "def direct(", "lacks direction(self, estimate, state, "),
    ],
)
def test_whatever_a_family_asks_for_is_missed(read, family, old, new, expected):
    assert expected in complaint(read, family, (old, new))


CORRUPT = "    def corrupt(self, coded, context):"


@pytest.mark.parametrize(
    "line",
    [
        "    @staticmethod\n    def corrupt(coded, context):",
        "    @classmethod\n    def corrupt(cls, coded, context):",
        "    def corrupt(self, coded, ctx, scale=2.0, *, more=None):",
        "    def corrupt(self, *arguments):\n        coded, _ = arguments",
    ],
)
def test_parameters_may_have_other_names_and_defaults(read, line):
    assert read("attack", (CORRUPT, line))


@pytest.mark.parametrize(
    ("family", "old", "new", "expected"),
    [
        (
            "attack",
            CORRUPT,
            "    def corrupt(self, coded):",
            "(self, coded), but corrupt(self, coded, context) is called: too many",
        ),
        (
            "attack",
            CORRUPT,
            "    def corrupt(self, context, coded):",
            "corrupt(self, coded, context) is called: context and coded in another place",
        ),
        ("attack", CORRUPT, "    def corrupt(self, coded, context, by):", "argument: 'by'"),
        (
            "attack",
            CORRUPT,
            "    @staticmethod\n    def corrupt(self, coded, context):",
            "'context'",
        ),
        (
            "attack",
            CORRUPT,
            "    corrupt = 1\n    def _(self, coded):",
            "make it a method, corrupt",
        ),
        ("aggregation", "(self, messages)", "(self)", "__call__(self, messages) is called"),
        ("coding", "    @property\n", "", "has a method 'varies'; make it a property or a field"),
        ("coding", "check(self, num_devices, num_byzantine)", "check(self, num_devices)", "check"),
    ],
)
def test_parameters_that_the_suite_would_not_pass_are_refused(read, family, old, new, expected):
    assert expected in complaint(read, family, (old, new))


@pytest.mark.parametrize(
    ("family", "old", "new", "expected"),
    [
        ("attack", "(frozen=True)", "", "is a mutable dataclass"),
        ("attack", "@dataclass(frozen=True)\n", "", "is not a dataclass"),
        ("attack", "ClassVar[str]", "str", "has a field 'kind'; make it a class variable"),
        ("attack", '"new"', "7", "has kind = 7; expected kind: ClassVar[str]"),
        ("attack", '"new"', '"knew"', "has kind = 'knew', and its entry point is named 'new'"),
        (
            "compression",
            "= 99",
            "= True",
            "has wire_code = True; expected wire_code: ClassVar[int]",
        ),
        (
            "compression",
            "= True",
            '= "yes"',
            "has unbiased = 'yes'; expected unbiased: ClassVar[bool]",
        ),
        ("aggregation", "num_byzantine: int", 'num_byzantine: "Missing"', "TYPE_CHECKING"),
    ],
)
def test_a_component_is_a_frozen_description(read, family, old, new, expected):
    assert expected in complaint(read, family, (old, new))


def test_of_several_contracts_exactly_one_is_kept(read):
    both = complaint(read, "attack", append="    craft = corrupt\n")
    assert both == "has corrupt and craft, but a component has only one of these"


def test_half_an_optional_protocol_is_refused(read):
    found = complaint(
        read,
        "aggregation",
        append="""
    def column_kernel(self, num_messages, what):
        return self
""",
    )
    assert "column_kernel(self, num_messages) is called" in found


REPORTS = """
    reported: ClassVar[tuple] = ()

    def aggregate(self, messages, state):
        from lad_mpi.aggregation import Aggregated
        return Aggregated(self(messages))
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("reported:", "reports:", "lacks reported: ClassVar[tuple[Metric, ...]]"),
        (
            "= ()",
            "= []",
            "has reported = []; expected reported: ClassVar[tuple[Metric, ...]]",
        ),
        ("aggregate(self, messages, state)", "aggregate(self, messages)", "is called"),
    ],
)
def test_a_rule_that_reports_declares_what(read, old, new, expected):
    assert expected in complaint(read, "aggregation", append=REPORTS.replace(old, new))


def test_a_rule_may_report(read):
    assert read("aggregation", append=REPORTS).aggregation.metrics == ()


def test_what_is_called_on_the_class_is_no_method_of_an_instance(read):
    kappa = """
    def kappa(self, num_messages, num_byzantine):
        return 1.0
"""
    found = complaint(read, "aggregation", append=kappa)
    assert found.startswith("has kappa(self, num_messages, num_byzantine), but kappa(num_messages,")


def test_one_method_of_two_that_go_together_is_refused(read):
    half = "\n    def encode_on_gpu(self, vectors, channel, payloads):\n        pass\n"
    found = complaint(read, "compression", append=half)
    assert found.startswith("lacks decode_on_gpu(self, payloads, channel)")


def test_all_that_is_wrong_is_said_at_once(read):
    found = complaint(read, "compression", ("def check(", "def checks("), ("wire_code", "code"))
    assert "; it lacks check(self, dimension); did you misspell it as 'checks'?" in found
    assert "lacks wire_code: ClassVar[int]" in found


def test_values_within_a_class_variable_are_of_its_type(read):
    reports = """
    reported: ClassVar[tuple] = ("steps",)

    def aggregate(self, messages, state):
        return None
"""
    found = complaint(read, "aggregation", append=reports)
    expected = "expected reported: ClassVar[tuple[Metric, ...]]"
    assert found == f"has reported = ('steps',); {expected}"


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_protocols_ask_for_can_be_said_and_compared(family):
    """A type that is imported for type checkers alone is none when a class is compared."""
    modules = {sys.modules[contract.__module__] for contract in FAMILIES[family].contracts}
    protocols = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and Protocol in value.__bases__
    }
    assert protocols.issuperset(FAMILIES[family].contracts)
    for protocol in protocols:
        assert complaints_about(object(), protocol)
        for cls in FAMILIES[family].table.values():
            assert isinstance(offers_all_of(cls, protocol), bool)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_members_of_the_suite_keep_their_contracts(family):
    for cls in FAMILIES[family].table.values():
        assert complaints(cls, FAMILIES[family].contracts) == ()


@pytest.mark.parametrize(
    ("family", "old", "new", "expected"),
    [
        ("aggregation", "mean(axis=0)", "mean()", r"\(\) for messages of shape \(100, 1\)"),
        ("attack", "return coded", "return coded[:1]", r"\(1, 1\) for messages of shape \(20, 1\)"),
        (
            "attack",
            "corrupt(self, coded, context):\n        return coded",
            "craft(self, honest, context):\n        return honest",
            r"\(80, 1\) for messages of shape \(80, 1\); expected \(20, 1\)",
        ),
    ],
)
def test_an_array_that_would_be_repeated_is_refused(read, family, old, new, expected):
    """NumPy broadcasts it: every coordinate moved by the mean of all of them."""
    place = PLACES[family].partition(".")[0]
    with pytest.raises(SpecError, match=f"{place}.kind: returns an array of shape {expected}"):
        read(family, (old, new))


def test_what_fails_on_the_first_messages_is_refused_without_a_traceback(read):
    with pytest.raises(SpecError, match=r"aggregation.kind: fails .*: messages must be a two-"):
        read("pre", ("return messages", "return messages.mean(axis=1)"))


def test_a_spec_is_checked_that_no_file_describes():
    with pytest.raises(ParameterError, match=r"attack: class .*Corrupts is not a dataclass"):
        Spec(attack=Corrupts())


class Corrupts:
    kind = "corrupts"

    def corrupt(self, coded, context):
        return coded
