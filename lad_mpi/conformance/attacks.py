"""Laws of attacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from lad_mpi.aggregation import TrimmedMean
from lad_mpi.attacks import (
    AttackContext,
    DataAttack,
    LocalAttack,
    OmniscientAttack,
    StatefulAttack,
    WireAttack,
)
from lad_mpi.columns import WorksOnColumns
from lad_mpi.compression import Channel, NoCompression
from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.servers import on_servers
from lad_mpi.conformance.suite import laws, make_suite
from lad_mpi.rng import Streams
from lad_mpi.spec.contracts import offers_all_of
from lad_mpi.wire import MessageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy.typing as npt

    from lad_mpi.types import Array, HostBytes, HostFloats

_N, _F, _Q = 23, 5, 11
_BYZANTINE = (2, 3, 8, 13, 21)
_FLOAT64 = np.dtype("float64")
#: Numbers of classes; 0 is regression.
_TARGETS = pytest.mark.parametrize("num_classes", [0, 2, 3, 10])
_ITERATIONS = 12
_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


_LAWS_OF_TARGETS = {"targets", "changes_targets", "own_targets", "repeatable_targets"}


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
            return attack.craft(honest, _knowing(honest, devices)), own
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
                result = attack.craft(honest, _knowing(honest))
            else:
                result = self.act(honest[:_F])
        assert len(result) == _F

    def vectors_sent(self, dtype: str, state: dict[str, Array], first: int = 0) -> HostFloats:
        """Return what is sent in all iterations from ``first`` on by an attack with a state."""
        attack = self.example()
        return np.array(
            [
                attack.advance(honest, _knowing(honest, iteration=iteration), state)
                for iteration, honest in enumerate(_honest(dtype)[first:], first)
            ]
        )

    @_DTYPES
    def test_state(self, dtype: str) -> None:
        """The state is a dictionary of arrays, which keep their shapes and dtypes.

        Checkpoints save the arrays. They are updated in place, and none is added or replaced.
        """
        state = self.example().initial_state(_honest(dtype)[0, 0])
        arrays, forms = dict(state), _forms(state)
        sent = self.vectors_sent(dtype, state)
        assert sent.shape == (_ITERATIONS, _F, _Q)
        assert sent.dtype == np.dtype(dtype)
        assert _forms(state) == forms
        assert all(state[name] is array for name, array in arrays.items()), "an array was replaced"

    @_DTYPES
    def test_resume(self, dtype: str) -> None:
        """From a copy of the state, it goes on with the same bits.

        A resumed run has a new attack and the state of a checkpoint. All that it learns must
        therefore be in the state.
        """
        like = _honest(dtype)[0, 0]
        whole = self.vectors_sent(dtype, self.example().initial_state(like))
        for interrupted in (1, _ITERATIONS // 2):
            state, attack = self.example().initial_state(like), self.example()
            for iteration, honest in enumerate(_honest(dtype)[:interrupted]):
                attack.advance(honest, _knowing(honest, iteration=iteration), state)
            saved = {name: array.copy() for name, array in state.items()}
            resumed = self.vectors_sent(dtype, saved, interrupted)
            np.testing.assert_array_equal(resumed, whole[interrupted:])

    @_DTYPES
    def test_servers(self, dtype: str) -> None:
        """Servers that share the columns get the bits of one that has all."""
        shape = (2, _N - _F, 40_001)
        honest = np.random.default_rng(2).normal(3.0, 1.0, shape).astype(dtype)

        def sent(columns: slice) -> Array:
            attack, own = self.example(), honest[..., columns]
            state = attack.initial_state(own[0, 0]) if isinstance(attack, StatefulAttack) else {}
            return np.concatenate(
                [
                    attack.advance(part, _knowing(part, iteration=iteration), state)
                    if state
                    else attack.craft(part, _knowing(part, iteration=iteration))
                    for iteration, part in enumerate(own)
                ]
            )

        parts = on_servers(40_001, 3, sent)
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), sent(slice(40_001)))

    def flipped(self, num_classes: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the targets under attack, and those without it, which are read-only."""
        targets = _targets(num_classes)
        return self.example().corrupt_targets(targets, num_classes), targets

    @_TARGETS
    def test_targets(self, num_classes: int) -> None:
        """The targets keep their shape and type, and class numbers stay in range."""
        result, targets = self.flipped(num_classes)
        assert isinstance(result, np.ndarray)
        assert result.shape == targets.shape
        assert result.dtype == targets.dtype
        assert np.isfinite(result).all()
        if num_classes:
            assert result.min() >= 0
            assert result.max() < num_classes

    @_TARGETS
    def test_changes_targets(self, num_classes: int) -> None:
        """Some targets change. Otherwise the attack would silently do nothing."""
        result, targets = self.flipped(num_classes)
        assert (result != targets).any()

    @_TARGETS
    def test_own_targets(self, num_classes: int) -> None:
        """The given targets are not changed, and the result has its own memory.

        Honest devices train on the given ones.
        """
        # The targets are read-only, so a change in place raises an error.
        result, targets = self.flipped(num_classes)
        assert not np.shares_memory(result, targets)

    @_TARGETS
    def test_repeatable_targets(self, num_classes: int) -> None:
        """The same targets give the same result, without a global generator.

        Every rank changes the targets separately.
        """
        moves_no_global_generator(lambda: self.flipped(num_classes)[0])

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
    optional = {
        "resumed": WireAttack,
        "state": StatefulAttack,
        "resume": StatefulAttack,
        "servers": WorksOnColumns,
        **dict.fromkeys(_LAWS_OF_TARGETS, DataAttack),
    }
    inapplicable: Collection[str] = ()
    if offers_all_of(cls, DataAttack):
        inapplicable = laws(AttackLaws).keys() - laws(ComponentLaws).keys() - _LAWS_OF_TARGETS
    elif offers_all_of(cls, OmniscientAttack):
        inapplicable = {"block"}
    return make_suite(
        AttackLaws, cls, without, optional, inapplicable, maker=staticmethod(make or cls)
    )


def _honest(dtype: str) -> HostFloats:
    """Return the honest vectors of all iterations, read-only, shape (iterations, H, Q)."""
    shape = (_ITERATIONS, _N - _F, _Q)
    vectors = np.random.default_rng(2).normal(3.0, 1.0, shape).astype(dtype)
    vectors.setflags(write=False)
    return vectors


def _targets(num_classes: int) -> npt.NDArray[Any]:
    """Return targets, read-only: numbers for 0 classes, or class numbers with all classes."""
    generator = np.random.default_rng(3)
    if num_classes:
        targets: npt.NDArray[Any] = generator.permutation(np.arange(60) % num_classes)
    else:
        targets = generator.normal(3.0, 1.0, 60)
    targets.setflags(write=False)
    return targets


def _forms(state: dict[str, Array]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    return {name: (array.shape, array.dtype) for name, array in state.items()}


def _knowing(
    honest: HostFloats, devices: tuple[int, ...] = _BYZANTINE, *, iteration: int = 4
) -> AttackContext:
    """Return a context in which the server takes a trimmed mean."""

    def aggregate(sent: Array) -> Array:
        return TrimmedMean(num_byzantine=len(sent))(np.concatenate([honest, sent]))

    return replace(_context(devices, iteration), aggregate=aggregate)


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
