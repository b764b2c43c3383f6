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
    Gaussian,
    Inf,
    Ipm,
    LocalAttack,
    Mimic,
    Mutate,
    Nan,
    NoAttack,
    OmniscientAttack,
    RandomBytes,
    SignFlip,
    WireAttack,
    Zero,
)

LOCAL = {"none", "sign_flip", "gaussian", "zero", "nan", "inf"}
OMNISCIENT = {"ipm", "alie", "mimic"}
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


class TestMimicOfVariance(
    OneVector, conformance.attack(Mimic, make=lambda: Mimic(target="variance"))
):
    pass


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


@pytest.mark.parametrize("kind", sorted(ATTACKS))
def test_it_has_slots(kind):
    assert not hasattr(ATTACKS[kind](), "__dict__")
