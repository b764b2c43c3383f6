"""What every attack has to promise."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import lad_mpi.attacks
from lad_mpi.attacks import ATTACKS, AttackContext, LocalAttack, OmniscientAttack
from lad_mpi.rng import Streams

N, F, Q = 23, 5, 11
LOCAL = {"none", "sign_flip", "gaussian", "zero", "nan", "inf"}
OMNISCIENT = {"ipm", "alie", "mimic"}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(params=sorted(ATTACKS))
def attack(request):
    return ATTACKS[request.param]()


@pytest.fixture(params=sorted(LOCAL))
def local_attack(request):
    return ATTACKS[request.param]()


@pytest.fixture(params=sorted(OMNISCIENT))
def omniscient_attack(request):
    return ATTACKS[request.param]()


def context(devices=(2, 3, 8, 13, 21), iteration=4, num_byzantine=F):
    return AttackContext(Streams(6), iteration, np.array(devices, dtype=np.int64), N, num_byzantine)


def vectors(num_rows, dtype):
    return np.random.default_rng(1).normal(3.0, 1.0, (num_rows, Q)).astype(dtype)


def sent(attack, dtype, where=None):
    """Return what an attack sends in place of F vectors, and these vectors."""
    where = where or context()
    honest = vectors(N, dtype)
    honest.setflags(write=False)
    own = honest[: len(where.devices)]
    if isinstance(attack, LocalAttack):
        return attack.corrupt(own, where), own
    return attack.craft(honest[F:], where), own


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


def test_it_is_a_frozen_value(attack):
    assert attack == dataclasses.replace(attack)
    assert hash(attack) == hash(dataclasses.replace(attack))
    assert not hasattr(attack, "__dict__")


@DTYPES
def test_shape_and_dtype(attack, dtype):
    result, own = sent(attack, dtype)
    assert isinstance(result, np.ndarray)
    assert result.shape == own.shape
    assert result.dtype == np.dtype(dtype)


@DTYPES
def test_every_row_is_changed_except_by_none(attack, dtype):
    result, own = sent(attack, dtype)
    changed = (result != own).any(axis=1)
    assert changed.tolist() == [attack.kind != "none"] * F


@DTYPES
def test_it_is_deterministic(attack, dtype):
    np.testing.assert_array_equal(sent(attack, dtype)[0], sent(attack, dtype)[0])


def test_the_result_is_memory_of_its_own(attack):
    # The arguments of `sent` are read-only, so a change in place would have raised.
    result, own = sent(attack, "float64")
    assert result.flags.writeable
    assert not np.shares_memory(result, own)


@DTYPES
def test_nobody_sends_nothing(attack, dtype):
    result, _ = sent(attack, dtype, context(devices=(), num_byzantine=0))
    assert result.shape == (0, Q)
    assert result.dtype == np.dtype(dtype)


@DTYPES
def test_a_local_row_does_not_depend_on_its_block(local_attack, dtype):
    devices = (2, 3, 8, 13, 21)
    own = vectors(F, dtype)
    whole = local_attack.corrupt(own, context(devices))
    head = local_attack.corrupt(own[:2], context(devices[:2]))
    tail = local_attack.corrupt(own[2:], context(devices[2:]))
    np.testing.assert_array_equal(whole, np.concatenate([head, tail]))


@DTYPES
def test_colluders_send_one_vector(omniscient_attack, dtype):
    result, _ = sent(omniscient_attack, dtype)
    np.testing.assert_array_equal(result, np.tile(result[0], (F, 1)))


@DTYPES
def test_numbers_at_the_end_of_the_range_do_no_harm(attack, dtype):
    where = context()
    honest = np.full((N - F, Q), np.finfo(dtype).max, dtype=dtype)
    honest[::2] *= -1
    with np.errstate(all="raise"):
        if isinstance(attack, LocalAttack):
            result = attack.corrupt(honest[:F], where)
        else:
            result = attack.craft(honest, where)
    assert result.shape == (F, Q)
    assert result.dtype == np.dtype(dtype)
