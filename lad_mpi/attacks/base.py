"""What an attack offers: the vectors, or the bytes, that Byzantine devices send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.columns import own_columns
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostBytes, HostInts


#: NumPy takes milliseconds for this many numbers. Loading Numba takes half a second, once.
_COMPILED_FROM = 2**19


@dataclass(frozen=True, slots=True, eq=False)
class AttackContext:
    """What an attacker knows, apart from vectors.

    Parameters
    ----------
    streams : Streams
        The run's random streams.
    iteration : int
        The iteration t.
    devices : ndarray of int64, shape (b,)
        Numbers of the Byzantine devices to return vectors for.
    num_devices, num_byzantine : int
        N and f of the whole run.
    previous : ndarray of uint8, shape (b, slot_bytes), optional
        For attacks on the wire: the packed messages of the iteration before. None in the
        first iteration of a launch. Whether they are given must only change messages
        that the server refuses.
    aggregate : callable, optional
        For omniscient attacks: takes the vectors that the Byzantine devices would send,
        shape (f, Q), and returns the server's estimate ĝ, shape (Q,). It applies the rule or
        the decoder of the run to them and to the honest messages. It changes no state, and
        leaves out the codec. None if the messages of the code are not estimates of ∇F.
    """

    streams: Streams
    iteration: int
    devices: HostInts
    num_devices: int
    num_byzantine: int
    previous: HostBytes | None = None
    aggregate: Callable[[Array], Array] | None = None

    def generator(self, device: int) -> np.random.Generator:
        """Open the attack's own generator for one device in this iteration."""
        return self.streams.generator(Purpose.ATTACK, self.iteration, device)


@runtime_checkable
class LocalAttack(Protocol):
    """An attack by a device that acts alone and knows its own coded vector."""

    kind: ClassVar[str]

    def corrupt(self, coded: Array, context: AttackContext) -> Array:
        """Return what the Byzantine devices of one rank send.

        Parameters
        ----------
        coded : array, shape (b, Q)
            What these devices would send if they were honest; not to be changed.

        Returns
        -------
        array, shape (b, Q), of the dtype of ``coded``
        """


@runtime_checkable
class OmniscientAttack(Protocol):
    """An attack by colluding devices that see every honest message."""

    kind: ClassVar[str]

    def craft(self, honest: Array, context: AttackContext) -> Array:
        """Return what all Byzantine devices send.

        Parameters
        ----------
        honest : array, shape (H, Q)
            The honest messages as the server receives them.

        Returns
        -------
        array, shape (f, Q), of the dtype of ``honest``
        """


@runtime_checkable
class StatefulAttack(OmniscientAttack, Protocol):
    """An omniscient attack that learns during a run."""

    def initial_state(self, like: Array) -> dict[str, Array]:
        """Return the state before the first iteration, by name.

        Parameters
        ----------
        like : array, shape (Q,)
            An array of the shape, dtype and memory of a message; its values do not matter.

        Returns
        -------
        dict of str to array
            Checkpoints save these arrays. Their shapes and dtypes must never change.
        """

    def advance(self, honest: Array, context: AttackContext, state: dict[str, Array]) -> Array:
        """Return what :meth:`craft` returns, and update the arrays of the state in place.

        A run calls this instead of ``craft``.
        """


@runtime_checkable
class DataAttack(Protocol):
    """An attack by devices that follow the protocol, but train on wrong targets."""

    kind: ClassVar[str]

    def corrupt_targets(self, targets: npt.NDArray[Any], num_classes: int) -> npt.NDArray[Any]:
        """Return the targets that Byzantine devices train on.

        Parameters
        ----------
        targets : ndarray of float64 or int64, shape (n,)
            All training targets: numbers, or class numbers 0…C−1. Not to be changed.
        num_classes : int
            C; 0 for regression.

        Returns
        -------
        ndarray of the same shape and dtype
        """


@runtime_checkable
class Envelope(Protocol):
    """The message format, of which an attacker knows everything."""

    @property
    def fields(self) -> Mapping[str, slice]:
        """The places of the fields of a message in its slot, including ``payload``.

        The others are ``magic``, ``checksum``, ``version``, ``codec``, ``part``,
        ``device``, ``iteration`` and ``length``, little-endian integers.
        """

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the vectors, and of the scalars in most payloads, where it is little-endian."""

    def seal(self, slots: HostBytes) -> None:
        """Write the checksum of each message, in place."""


@runtime_checkable
class WireAttack(Protocol):
    """An attack by a device that acts alone and changes the bytes of its packed message."""

    kind: ClassVar[str]

    def tamper(self, slots: HostBytes, envelope: Envelope, context: AttackContext) -> HostBytes:
        """Return the bytes that the Byzantine devices of one rank send.

        Parameters
        ----------
        slots : ndarray of uint8, shape (b, slot_bytes)
            The messages that these devices would send if they were honest; not
            to be changed.
        envelope : Envelope
            The message format.

        Returns
        -------
        ndarray of uint8, shape (b, slot_bytes), C-contiguous
        """


def mean(honest: Array) -> Array:
    """Return the mean μ of the honest vectors, float64, shape (Q,)."""
    return honest.mean(axis=0, dtype=np.float64)


def moments(honest: Array) -> tuple[Array, Array]:
    """Return mean μ and standard deviation σ of each coordinate, float64, shape (Q,).

    The divisor of σ is H.
    """
    size = len(honest) * own_columns(honest)[1]
    compiled = isinstance(honest, np.ndarray) and size >= _COMPILED_FROM
    if not (compiled and honest.dtype.isnative and honest.dtype.char in "fd"):
        return mean(honest), honest.std(axis=0, dtype=np.float64)
    from lad_mpi.attacks.kernels import column_moments  # noqa: PLC0415  (imports Numba)

    found = np.empty((2, honest.shape[1]))
    column_moments(honest, *found)
    return found[0], found[1]


def sent_by_all(vector: Array, count: int, like: Array) -> Array:
    """Return ``count`` copies of a vector, shape (count, Q), in the dtype of ``like``."""
    xp = namespace(like)
    return xp.repeat(vector[None].astype(like.dtype), count, axis=0)
