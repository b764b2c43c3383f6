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
    """Send uniform random bytes: the whole slot, or a payload in a faultless envelope.

    The whole slot is noise that the server must tell from a message. Behind a
    valid header and checksum the noise reaches the codec's own checks, and
    what passes them is an arbitrary vector, which is the rule's affair.

    Parameters
    ----------
    keep_envelope : bool
        Whether the header stays, and the checksum is that of the random payload.
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
