"""Messages with one well-aimed fault each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lad_mpi.attacks import mutations

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext, Envelope
    from lad_mpi.types import HostBytes


@dataclass(frozen=True, slots=True)
class Mutate:
    """Send the own message with one random fault.

    The faults: bits flipped anywhere; a wrong magic, version, codec, device,
    iteration, length or reserved field; a wrong checksum; a payload with NaN,
    infinity, a negative, largest or smallest number in it, with its tail all
    zeros or all ones, a piece of it repeated, its last bits dirty, or shifted by
    a byte; the message of the iteration before; a slot of zeros or of ones.
    Faults of the payload, and half of those of the header, have a valid checksum.
    Together they reach every check of every codec. A fault that would change nothing
    becomes a flipped bit.
    """

    kind: ClassVar[str] = "mutate"
    cost: ClassVar[str] = "one copy and one checksum a device"

    def tamper(self, slots: HostBytes, envelope: Envelope, context: AttackContext) -> HostBytes:
        """Draw and make each device's fault; see :meth:`WireAttack.tamper`."""
        tampered = np.array(slots, order="C")
        for row, device in enumerate(context.devices):
            # A view of one row, because sealing takes rows.
            slot = tampered[row : row + 1]
            generator = context.generator(int(device))
            previous = None if context.previous is None else context.previous[row]
            mutations.mutate(slot, envelope, generator, previous)
            if np.array_equal(slot[0], slots[row]):
                mutations.flip_bits(slot[0], generator)
        return tampered
