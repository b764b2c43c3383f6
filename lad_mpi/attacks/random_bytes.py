"""Random bytes in place of the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from lad_mpi.attacks.base import AttackContext, Envelope
    from lad_mpi.types import HostBytes


@dataclass(frozen=True, slots=True)
class RandomBytes:
    """Send uniform random bytes: the whole slot, or a payload behind a valid header.

    If the whole slot is random, the server must recognise that it is not a message.
    Behind a valid header and checksum, random bytes reach the checks of the codec. Bytes
    that pass them are an arbitrary vector, which the rule has to tolerate.

    Parameters
    ----------
    keep_envelope : bool
        Whether to keep the header and write the checksum of the random payload.
    """

    keep_envelope: bool = False

    kind: ClassVar[str] = "random_bytes"
    cost: ClassVar[str] = "one message of random bytes a device"

    def tamper(self, slots: HostBytes, envelope: Envelope, context: AttackContext) -> HostBytes:
        """Draw each device's bytes; see :meth:`WireAttack.tamper`."""
        tampered = np.array(slots, order="C")
        part = tampered[:, envelope.fields["payload"]] if self.keep_envelope else tampered
        for row, device in zip(part, context.devices, strict=True):
            row[:] = context.generator(int(device)).integers(0, 256, row.size, dtype=np.uint8)
        if self.keep_envelope:
            envelope.seal(tampered)
        return tampered
