"""Unpack messages as they arrive, with the same validation as complete messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.compression import Channel, Rejection
from lad_mpi.wire.message import FIELDS, MessageFormat, differs_from_stored, running_checksums

if TYPE_CHECKING:
    from lad_mpi.types import HostBools, HostBytes, HostFloats, HostInts

_CHECKSUM = FIELDS["checksum"]


class ArrivingMessages:
    """Messages that arrive and are unpacked in ranges of columns.

    A message that is refused because of its header or its first columns is zero from the
    start. If a message is refused later, its earlier columns may have been used already.
    Then ``used_refused`` is True, and the caller must start again.

    Parameters
    ----------
    messages : MessageFormat
        A format with ``in_columns``.
    slots : ndarray of uint8, shape (n, slot_bytes), C-contiguous
        Slots in which the messages arrive; not changed.
    channel : Channel
        The expected block of devices and iteration.
    vectors : ndarray, shape (n, Q), of the run's dtype
        Receives the decoded vectors.

    Attributes
    ----------
    vectors : ndarray, shape (n, Q)
        As given. Unpacked columns are finite. Rows of messages refused so far are zero.
    used_refused : bool
        Whether a message was refused after some of its columns had been unpacked.
    """

    def __init__(
        self, messages: MessageFormat, slots: HostBytes, channel: Channel, vectors: HostFloats
    ) -> None:
        self._messages = messages
        self._slots = slots
        self._channel = channel
        self._sums = [0] * len(slots)
        # The checksum covers all bytes after it.
        self._summed = _CHECKSUM.stop
        self._headers: HostInts = np.zeros(len(slots), dtype=np.int64)
        self._payloads: HostInts = np.zeros(len(slots), dtype=np.int64)
        self.vectors = vectors
        self.used_refused = False

    def extend(self, columns: slice) -> None:
        """Unpack the next range of columns, which must have arrived.

        Parameters
        ----------
        columns : slice
            The range; it starts where the last one ended. The first range includes the header.
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
        # Keep the reason of the first range that is refused.
        self._payloads = np.where(self._payloads == int(Rejection.NONE), reasons, self._payloads)
        out[self._refused] = 0
        if not first:
            self._take_back(self._refused & ~before)

    def finish(self) -> tuple[HostFloats, HostInts]:
        """Check the checksums of the complete messages.

        Returns
        -------
        vectors : ndarray, shape (n, Q)
        rejections : ndarray of int64, shape (n,)
            The same bits as from :meth:`MessageFormat.unpack`.
        """
        wrong = differs_from_stored(self._sums, self._slots)
        self._take_back(wrong & ~self._refused)
        # Reasons of the header and the checksum take precedence over those of the payload.
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
