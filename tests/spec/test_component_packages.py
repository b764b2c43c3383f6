"""Which package, in which version, a component of a spec comes from."""

from dataclasses import dataclass, replace
from typing import ClassVar

from lad_mpi.spec import Spec, component_packages, parse_spec

TEXT = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.aggregation import Mean


@dataclass(frozen=True)
class Shift:
    kind: ClassVar[str] = "shift"

    def corrupt(self, coded, context):
        return coded


@dataclass(frozen=True)
class Plain(Mean):
    kind: ClassVar[str] = "plain"


@dataclass(frozen=True)
class Same:
    num_byzantine: int = 0
    kind: ClassVar[str] = "same"

    def __call__(self, messages):
        return messages
"""


def test_the_suite_itself_is_no_other_package():
    assert component_packages(Spec()) == {}


def test_every_component_is_traced_to_its_distribution_and_version(install):
    install("mylab", TEXT, version="2.5", attacks={"shift": "Shift"})
    install("yourlab", TEXT, rules={"plain": "Plain"}, pre_aggregations={"same": "Same"})
    assert component_packages(parse_spec({"attack": {"kind": "shift"}})) == {"mylab": "2.5"}
    both = {"attack": {"kind": "shift"}, "aggregation": {"kind": "plain"}}
    assert component_packages(parse_spec(both)) == {"mylab": "2.5", "yourlab": "1.0"}
    pre = {"aggregation": {"kind": "mean", "pre": ["same"]}}
    assert component_packages(parse_spec(pre)) == {"yourlab": "1.0"}
    fallback = {"coding": {"kind": "draco_repetition"}, "fallback": {"kind": "plain"}}
    assert component_packages(parse_spec(fallback)) == {"yourlab": "1.0"}


@dataclass(frozen=True)
class Unpublished:
    kind: ClassVar[str] = "unpublished"

    def corrupt(self, coded, context):
        return coded


def test_a_component_that_no_package_offers_is_named_by_its_module():
    spec = replace(Spec(), attack=Unpublished())
    assert component_packages(spec) == {__name__.partition(".")[0]: "unknown"}
