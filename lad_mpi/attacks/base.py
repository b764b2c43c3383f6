"""What an attack offers: the vectors that Byzantine devices send instead of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    import numpy as np

    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostInts


@dataclass(frozen=True, slots=True, eq=False)
class AttackContext:
    """What an attacker may know besides vectors.

    Parameters
    ----------
    streams : Streams
        The run's random streams.
    iteration : int
        The iteration t.
    devices : ndarray of int64, shape (b,)
        Numbers of the Byzantine devices whose vectors are asked for.
    num_devices, num_byzantine : int
        N and f of the whole run.
    """

    streams: Streams
    iteration: int
    devices: HostInts
    num_devices: int
    num_byzantine: int

    def generator(self, device: int) -> np.random.Generator:
        """Open the attack's own generator for one device in this iteration."""
        return self.streams.generator(Purpose.ATTACK, self.iteration, device)


@runtime_checkable
class LocalAttack(Protocol):
    """An attack that a device carries out alone, knowing its own coded vector."""

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
