"""Laws of attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.attacks import AttackContext, LocalAttack, OmniscientAttack, WireAttack
from lad_mpi.compression import Channel, NoCompression
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.rng import Streams
from lad_mpi.spec.contracts import offers_all_of
from lad_mpi.wire import MessageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import Array, HostBytes, HostFloats

_N, _F, _Q = 23, 5, 11
_BYZANTINE = (2, 3, 8, 13, 21)
_FLOAT64 = np.dtype("float64")
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


class AttackLaws(ComponentLaws):
    """Laws of attacks.

    Attributes
    ----------
    maker : callable
        Builds an attack.
    """

    family: ClassVar[str] = "attack"
    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return an attack."""
        return type(self).maker()

    def sent(self, dtype: str, devices: tuple[int, ...] = _BYZANTINE) -> tuple[Array, Array]:
        """Return what the devices send under attack, and what they would send without it.

        These are vectors or, for an attack on the wire, packed messages.
        """
        vectors = np.random.default_rng(1).normal(3.0, 1.0, (_N, _Q)).astype(dtype)
        vectors.setflags(write=False)
        own, honest = vectors[: len(devices)], vectors[_F:]
        attack = self.example()
        if isinstance(attack, OmniscientAttack):
            return attack.craft(honest, _context(devices)), own
        if isinstance(attack, WireAttack):
            own = _packed(own, devices)
            own.setflags(write=False)
        return self.act(vectors[: len(devices)], devices), own

    def act(self, own: HostFloats, devices: tuple[int, ...] = _BYZANTINE) -> Array:
        """Return what devices that act alone send in place of their vectors."""
        attack = self.example()
        if isinstance(attack, LocalAttack):
            return attack.corrupt(own, _context(devices))
        slots = _packed(own, devices)
        slots.setflags(write=False)
        return attack.tamper(slots, _messages(own.dtype), _context(devices))

    @_DTYPES
    def test_shape_and_dtype(self, dtype: str) -> None:
        """It returns one vector in the dtype of the run, or one slot, for each Byzantine device."""
        result, own = self.sent(dtype)
        assert isinstance(result, np.ndarray)
        assert result.shape == own.shape
        assert result.dtype == own.dtype

    @_DTYPES
    def test_attacks(self, dtype: str) -> None:
        """Every Byzantine device sends something different from its honest message.

        Otherwise the attack would silently do nothing.
        """
        result, own = self.sent(dtype)
        unchanged = [
            device
            for device, before, after in zip(_BYZANTINE, own, result, strict=True)
            if np.array_equal(before, after)
        ]
        assert not unchanged, "some devices send what they would have sent"

    @_DTYPES
    def test_repeatable(self, dtype: str) -> None:
        """The same vectors, seed and iteration give the same bits."""
        np.testing.assert_array_equal(self.sent(dtype)[0], self.sent(dtype)[0])

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers.

        Its own is ``context.generator(device)``.
        """
        moves_no_global_generator(lambda: self.sent("float64")[0])

    def test_own_memory(self) -> None:
        """The arguments are not changed, and the result has its own memory."""
        # The arguments are read-only, so a change in place raises an error.
        result, own = self.sent("float64")
        assert result.flags.writeable
        assert not np.shares_memory(result, own)

    @_DTYPES
    def test_nobody(self, dtype: str) -> None:
        """Without Byzantine devices the result is empty, with the right shape and dtype."""
        result, own = self.sent(dtype, devices=())
        assert result.shape == (0, own.shape[1])
        assert result.dtype == own.dtype

    @_DTYPES
    def test_block(self, dtype: str) -> None:
        """What a device sends does not depend on which others its rank hosts.

        Results must not depend on the number of ranks.
        """
        own = np.random.default_rng(1).normal(3.0, 1.0, (_F, _Q)).astype(dtype)
        whole = self.act(own)
        head = self.act(own[:2], _BYZANTINE[:2])
        tail = self.act(own[2:], _BYZANTINE[2:])
        np.testing.assert_array_equal(whole, np.concatenate([head, tail]))

    @_DTYPES
    def test_largest_numbers(self, dtype: str) -> None:
        """Vectors of the largest numbers cause no errors and no warnings.

        The server refuses a message that overflows.
        """
        honest = np.full((_N - _F, _Q), np.finfo(dtype).max, dtype=dtype)
        honest[::2] *= -1
        attack = self.example()
        with np.errstate(all="raise"):
            if isinstance(attack, OmniscientAttack):
                result = attack.craft(honest, _context(_BYZANTINE))
            else:
                result = self.act(honest[:_F])
        assert len(result) == _F

    def test_resumed(self) -> None:
        """The server gets the same result with and without messages of the iteration before.

        A run that continues from a checkpoint does not have them, and must give the same bits.
        """
        attack, messages = self.example(), _messages(_FLOAT64)
        own = np.random.default_rng(1).normal(3.0, 1.0, (_F, _Q))
        for iteration in range(1, 60):
            slots, wire = _packed(own, _BYZANTINE, iteration), _channel(_BYZANTINE, iteration)
            before = _packed(own + 1, _BYZANTINE, iteration - 1)
            results = [
                messages.unpack(
                    attack.tamper(slots, messages, _context(_BYZANTINE, iteration, previous)), wire
                )
                for previous in (None, before)
            ]
            for first, second in zip(*results, strict=True):
                np.testing.assert_array_equal(first, second)


def attack(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[], Any] | None = None
) -> type[AttackLaws]:
    """Make the class of tests of an attack.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds an attack.
    """
    return make_suite(
        AttackLaws,
        cls,
        without,
        {"resumed": WireAttack},
        {"block"} if offers_all_of(cls, OmniscientAttack) else (),
        maker=staticmethod(make or cls),
    )


def _context(
    devices: tuple[int, ...], iteration: int = 4, previous: HostBytes | None = None
) -> AttackContext:
    faults = _F if devices else 0
    numbers = np.array(devices, dtype=np.int64)
    return AttackContext(Streams(6), iteration, numbers, _N, faults, previous)


def _messages(dtype: np.dtype[np.floating]) -> MessageFormat:
    return MessageFormat(NoCompression(), _Q, dtype)


def _channel(
    devices: tuple[int, ...], iteration: int, dtype: np.dtype[np.floating] = _FLOAT64
) -> Channel:
    rows = np.array(devices, dtype=np.int64)
    return Channel(Streams(6), iteration, 0, _N, _Q, dtype, rows)


def _packed(vectors: HostFloats, devices: tuple[int, ...], iteration: int = 4) -> HostBytes:
    messages = _messages(vectors.dtype)
    slots = np.zeros((len(devices), messages.slot_bytes), dtype=np.uint8)
    messages.pack(vectors, _channel(devices, iteration, vectors.dtype), slots)
    return slots
