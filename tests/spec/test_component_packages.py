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

TRAINING = """
from dataclasses import dataclass
from typing import ClassVar

from lad_mpi.data import Synthetic
from lad_mpi.models import LinearRegression
from lad_mpi.optimizers import Cosine, GradientDescent


@dataclass(frozen=True)
class Drawn(Synthetic):
    kind: ClassVar[str] = "drawn"


@dataclass(frozen=True)
class Line(LinearRegression):
    kind: ClassVar[str] = "line"


@dataclass(frozen=True)
class Descent(GradientDescent):
    kind: ClassVar[str] = "descent"


@dataclass(frozen=True)
class Wave(Cosine):
    kind: ClassVar[str] = "wave"
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


def test_data_models_optimizers_and_schedules_are_traced_as_well(install):
    install("datalab", TRAINING, data={"drawn": "Drawn"})
    install("modellab", TRAINING, models={"line": "Line"})
    install("steplab", TRAINING, optimizers={"descent": "Descent"}, schedules={"wave": "Wave"})
    tables = {
        "datalab": {"data": {"kind": "drawn"}},
        "modellab": {"model": {"kind": "line"}},
        "steplab": {"optimizer": {"kind": "descent"}},
    }
    for package, table in tables.items():
        assert component_packages(parse_spec(table)) == {package: "1.0"}
    schedule = {"optimizer": {"schedule": "wave"}}
    assert component_packages(parse_spec(schedule)) == {"steplab": "1.0"}


@dataclass(frozen=True)
class Unpublished:
    kind: ClassVar[str] = "unpublished"

    def corrupt(self, coded, context):
        return coded


def test_a_component_that_no_package_offers_is_named_by_its_module():
    spec = replace(Spec(), attack=Unpublished())
    assert component_packages(spec) == {__name__.partition(".")[0]: "unknown"}


def test_an_edited_network_makes_another_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "mynets.py"
    file.write_text("def net():\n    return None\n")
    spec = parse_spec(
        {"data": {"kind": "digits"}, "model": {"kind": "torch", "module": "mynets:net"}}
    )
    before = component_packages(spec)
    assert component_packages(spec) == before
    file.write_text("def net():\n    return 1\n")
    after = component_packages(spec)
    assert after["mynets"].startswith("unknown sha256:")
    assert after["mynets"] != before["mynets"]
    assert after["torch"] == before["torch"]
