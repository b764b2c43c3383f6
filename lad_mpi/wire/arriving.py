"""Messages that are unpacked as they arrive, and trusted no earlier than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.compression import Channel, Rejection
from lad_mpi.wire.message import FIELDS, MessageFormat, differs_from_stored, running_checksums

if TYPE_CHECKING:
    from lad_mpi.types import HostBools, HostBytes, HostFloats, HostInts

_CHECKSUM = FIELDS["checksum"]


class ArrivingMessages:
    """Messages of which no bytes need to have arrived, unpacked range by range of columns.

    What is refused by its header or by its first columns counts as zero from the
    start. What is refused later has been handed on by then: whoever used its
    columns has to begin again.

    Parameters
    ----------
    messages : MessageFormat
        One whose messages are ``in_columns``.
    slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        Where they arrive; not changed.
    channel : Channel
        The block of devices and the iteration that are expected.
    vectors : ndarray, shape (n, Q), of the run's dtype
        Receives the decoded vectors.

    Attributes
    ----------
    vectors : ndarray, shape (n, Q)
        As given. What has been unpacked is finite, and zero in the rows of
        messages refused so far.
    used_refused : bool
        Whether columns of a message were handed on before it was refused.
    """

    def __init__(
        self, messages: MessageFormat, slots: HostBytes, channel: Channel, vectors: HostFloats
    ) -> None:
        self._messages = messages
        self._slots = slots
        self._channel = channel
        self._sums = [0] * len(slots)
        # The checksum covers all that follows it.
        self._summed = _CHECKSUM.stop
        self._headers: HostInts = np.zeros(len(slots), dtype=np.int64)
        self._payloads: HostInts = np.zeros(len(slots), dtype=np.int64)
        self.vectors = vectors
        self.used_refused = False

    def extend(self, columns: slice) -> None:
        """Unpack the next range of columns, which has arrived, with the header if it is the first.

        Parameters
        ----------
        columns : slice
            From where the last range ended.
        """
        before = self._refused
        first = columns.start == 0
        if first:
            self._headers = self._messages.check_headers(self._slots, self._channel)
        end = self._messages.edges([columns])[1]
        self._sums = running_checksums(self._slots, self._summed, end, self._sums)
        self._summed = end
        out = self.vectors[:, columns]
        reasons = self._messages.decode_columns(self._slots, columns, self._channel, out)
        # The first range that is refused says why.
        self._payloads = np.where(self._payloads == int(Rejection.NONE), reasons, self._payloads)
        out[self._refused] = 0
        if not first:
            self._take_back(self._refused & ~before)

    def finish(self) -> tuple[HostFloats, HostInts]:
        """Check what only the whole of a message tells.

        Returns
        -------
        vectors : ndarray, shape (n, Q)
        rejections : ndarray of int64, shape (n,)
            To the bit what :meth:`MessageFormat.unpack` returns.
        """
        wrong = differs_from_stored(self._sums, self._slots)
        self._take_back(wrong & ~self._refused)
        # What the payload says counts only where the envelope is sound.
        rejections = np.where(wrong, int(Rejection.CHECKSUM), self._payloads)
        headers = self._headers
        return self.vectors, np.where(headers == int(Rejection.NONE), rejections, headers)

    @property
    def _refused(self) -> HostBools:
        refused: HostBools = (self._headers | self._payloads) != int(Rejection.NONE)
        return refused

    def _take_back(self, refused: HostBools) -> None:
        if refused.any():
            self.used_refused = True
            self.vectors[refused] = 0
