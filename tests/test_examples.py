"""The package of examples: its entry points, its components, its spec. tests/torch trains it."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from lad_examples.attacks import MedianFlip
from lad_examples.rules import Phocas

from lad_mpi import conformance
from lad_mpi.spec.families import FAMILIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = Path(__file__).parent.parent / "examples"
GROUPS = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]["entry-points"]

# Sums of the largest numbers overflow, as in NumPy.
TestPhocas = conformance.rule(Phocas, without={"largest_numbers"})
TestMedianFlip = conformance.attack(MedianFlip)


@pytest.mark.parametrize("group", GROUPS)
def test_entry_points_name_components_of_their_family(group):
    (family,) = (family for family in FAMILIES.values() if family.group == group)
    for kind, target in GROUPS[group].items():
        component = EntryPoint(kind, target, group).load()
        assert family.complaints(component) == ""
        assert component.kind == kind


def test_phocas_averages_the_values_nearest_the_trimmed_mean():
    # Without the lowest and the highest value, the mean is 5, and 10 is farthest from it.
    messages = np.array([[2.0], [10.0], [3.0], [4.0], [8.0]])
    assert Phocas(num_byzantine=1)(messages) == (2.0 + 3.0 + 4.0 + 8.0) / 4


def test_median_flip_sends_the_negated_median():
    honest = np.array([[1.0, -2.0], [3.0, 0.0], [100.0, 5.0]])
    context = type("Context", (), {"num_byzantine": 2})()
    np.testing.assert_array_equal(MedianFlip(2.0).craft(honest, context), [[-6.0, 0.0]] * 2)
