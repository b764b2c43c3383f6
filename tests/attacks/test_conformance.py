"""The laws of attacks over all of the suite's own, and what these promise beside them."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import lad_mpi.attacks
from lad_mpi import conformance
from lad_mpi.attacks import (
    ATTACKS,
    Alie,
    DataAttack,
    Gaussian,
    Inf,
    Ipm,
    LabelFlip,
    LocalAttack,
    Mimic,
    MimicFixed,
    MinMax,
    MinSum,
    Mutate,
    Nan,
    NoAttack,
    OmniscientAttack,
    OptimalAlie,
    OptimalIpm,
    RandomBytes,
    SignFlip,
    StatefulAttack,
    WireAttack,
    Zero,
)

LOCAL = {"none", "sign_flip", "gaussian", "zero", "nan", "inf"}
OMNISCIENT = {"ipm", "alie", "optimal_ipm", "optimal_alie"}
OMNISCIENT |= {"min_max", "min_sum", "mimic", "mimic_fixed"}
WIRE = {"random_bytes", "mutate"}

TestSignFlip = conformance.attack(SignFlip)
TestGaussian = conformance.attack(Gaussian)
TestZero = conformance.attack(Zero)
TestNan = conformance.attack(Nan)
TestInf = conformance.attack(Inf)
TestRandomBytes = conformance.attack(RandomBytes)
TestRandomPayload = conformance.attack(RandomBytes, make=lambda: RandomBytes(keep_envelope=True))
TestMutate = conformance.attack(Mutate)


class TestNoAttack(conformance.attack(NoAttack, without={"attacks"})):
    def test_changes_nothing(self):
        result, own = self.sent("float64")
        np.testing.assert_array_equal(result, own)


class OneVector:
    """What the suite's colluders promise beside the laws."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_colluders_send_one_vector(self, dtype):
        result, _ = self.sent(dtype)
        np.testing.assert_array_equal(result, np.tile(result[0], (len(result), 1)))


class TestIpm(OneVector, conformance.attack(Ipm)):
    pass


class TestAlie(OneVector, conformance.attack(Alie)):
    pass


class TestMimic(OneVector, conformance.attack(Mimic)):
    pass


class TestMimicThatHasLearned(OneVector, conformance.attack(Mimic, make=lambda: Mimic(warmup=3))):
    """It fixes the device within the iterations of the laws."""


class TestMimicFixed(OneVector, conformance.attack(MimicFixed)):
    pass


class TestOptimalAlie(OneVector, conformance.attack(OptimalAlie)):
    pass


class TestOptimalIpm(OneVector, conformance.attack(OptimalIpm)):
    pass


class TestMinMax(OneVector, conformance.attack(MinMax)):
    pass


class TestMinMaxAgainstTheMean(OneVector, conformance.attack(MinMax, make=lambda: MinMax("unit"))):
    pass


class TestMinMaxBySigns(OneVector, conformance.attack(MinMax, make=lambda: MinMax("sign"))):
    pass


class TestMinSum(OneVector, conformance.attack(MinSum)):
    pass


class TestMinSumAgainstTheMean(OneVector, conformance.attack(MinSum, make=lambda: MinSum("unit"))):
    pass


class TestMinSumBySigns(OneVector, conformance.attack(MinSum, make=lambda: MinSum("sign"))):
    pass


TestLabelFlip = conformance.attack(LabelFlip)


def test_every_attack_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(ATTACKS.values())


def test_the_table_is_complete():
    found = set()
    for module in pkgutil.iter_modules(lad_mpi.attacks.__path__):
        contents = vars(importlib.import_module(f"lad_mpi.attacks.{module.name}"))
        found |= {
            value
            for value in contents.values()
            if dataclasses.is_dataclass(value) and hasattr(value, "kind")
        }
    assert found == set(ATTACKS.values())
    assert all(cls.kind == kind for kind, cls in ATTACKS.items())


def test_every_attack_is_of_one_sort():
    local = {kind for kind, cls in ATTACKS.items() if isinstance(cls(), LocalAttack)}
    omniscient = {kind for kind, cls in ATTACKS.items() if isinstance(cls(), OmniscientAttack)}
    assert local == LOCAL
    assert omniscient == OMNISCIENT
    assert {kind for kind, cls in ATTACKS.items() if isinstance(cls(), WireAttack)} == WIRE


def test_what_a_law_is_about_decides_who_is_put_to_it():
    of_targets = conformance.laws(TestLabelFlip).keys()
    of_a_state = conformance.laws(TestMimic).keys()
    of_others = conformance.laws(TestAlie).keys()
    assert of_a_state - of_others == {"state", "resume"}
    common = {"contract", "frozen", "spec", "misspelt"}
    assert of_targets & of_others == common
    assert len(of_targets) == len(common) + 4


def test_data_attacks_and_attacks_with_a_state():
    assert {k for k, cls in ATTACKS.items() if isinstance(cls(), DataAttack)} == {"label_flip"}
    assert {k for k, cls in ATTACKS.items() if isinstance(cls(), StatefulAttack)} == {"mimic"}


@pytest.mark.parametrize("kind", sorted(ATTACKS))
def test_it_has_slots(kind):
    assert not hasattr(ATTACKS[kind](), "__dict__")
