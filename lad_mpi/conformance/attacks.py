"""Laws of attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.attacks import AttackContext, LocalAttack, OmniscientAttack
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import build
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import HostFloats

_N, _F, _Q = 23, 5, 11
_BYZANTINE = (2, 3, 8, 13, 21)
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


class AttackLaws(ComponentLaws):
    """Laws of what Byzantine devices send.

    Attributes
    ----------
    maker : callable
        Makes an attack.
    """

    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return an attack."""
        return type(self).maker()

    def sent(
        self, dtype: str, devices: tuple[int, ...] = _BYZANTINE
    ) -> tuple[HostFloats, HostFloats]:
        """Return what the devices send under attack, and what they would have sent."""
        vectors = np.random.default_rng(1).normal(3.0, 1.0, (_N, _Q)).astype(dtype)
        vectors.setflags(write=False)
        own, honest = vectors[: len(devices)], vectors[_F:]
        attack, where = self.example(), _context(devices)
        if isinstance(attack, LocalAttack):
            return attack.corrupt(own, where), own
        return attack.craft(honest, where), own

    def test_one_sort(self) -> None:
        """It has either ``corrupt``, of a device alone, or ``craft``, of all together.

        They differ in what they may know, and in whose time they are counted as.
        """
        attack = self.example()
        assert isinstance(attack, LocalAttack) != isinstance(attack, OmniscientAttack)

    @_DTYPES
    def test_shape_and_dtype(self, dtype: str) -> None:
        """It gives one vector for each Byzantine device, in the dtype of the run."""
        result, own = self.sent(dtype)
        assert isinstance(result, np.ndarray)
        assert result.shape == own.shape
        assert result.dtype == np.dtype(dtype)

    @_DTYPES
    def test_attacks(self, dtype: str) -> None:
        """Every Byzantine device sends something else than it would have.

        An attack whose result is lost on the way does nothing, unnoticed.
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
        """It neither draws from nor seeds a global generator of random numbers.

        Its own is ``context.generator(device)``.
        """
        moves_no_global_generator(lambda: self.sent("float64")[0])

    def test_own_memory(self) -> None:
        """The arguments are left as they are, and the result is memory of its own."""
        # The arguments are read-only: a change in place raises.
        result, own = self.sent("float64")
        assert result.flags.writeable
        assert not np.shares_memory(result, own)

    @_DTYPES
    def test_nobody(self, dtype: str) -> None:
        """Without Byzantine devices nothing is sent, in the right shape and dtype."""
        result, _ = self.sent(dtype, devices=())
        assert result.shape == (0, _Q)
        assert result.dtype == np.dtype(dtype)

    @_DTYPES
    def test_block(self, dtype: str) -> None:
        """What a device sends does not depend on which others its rank hosts.

        Results must not depend on the number of ranks.
        """
        attack = self.example()
        own = np.random.default_rng(1).normal(3.0, 1.0, (_F, _Q)).astype(dtype)
        whole = attack.corrupt(own, _context(_BYZANTINE))
        head = attack.corrupt(own[:2], _context(_BYZANTINE[:2]))
        tail = attack.corrupt(own[2:], _context(_BYZANTINE[2:]))
        np.testing.assert_array_equal(whole, np.concatenate([head, tail]))

    @_DTYPES
    def test_largest_numbers(self, dtype: str) -> None:
        """Vectors of the largest numbers there are make it neither raise nor warn.

        An overflow is the attacker's own affair: the server refuses the message.
        """
        honest = np.full((_N - _F, _Q), np.finfo(dtype).max, dtype=dtype)
        honest[::2] *= -1
        attack, where = self.example(), _context(_BYZANTINE)
        with np.errstate(all="raise"):
            if isinstance(attack, LocalAttack):
                result = attack.corrupt(honest[:_F], where)
            else:
                result = attack.craft(honest, where)
        assert result.shape == (_F, _Q)
        assert result.dtype == np.dtype(dtype)


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
        Makes an attack.
    """
    inapplicable = () if hasattr(cls, "corrupt") else ("block",)
    return build(AttackLaws, cls, without, inapplicable, maker=staticmethod(make or cls))


def _context(devices: tuple[int, ...]) -> AttackContext:
    faults = _F if devices else 0
    return AttackContext(Streams(6), 4, np.array(devices, dtype=np.int64), _N, faults)
