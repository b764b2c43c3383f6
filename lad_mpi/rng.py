"""Keyed, counter-based random streams.

Every random number of the suite is a pure function of (seed, purpose,
iteration, device). No generator has a state that outlives an iteration, so
results do not depend on the number of ranks, on the order in which ranks
draw, or on whether a run was interrupted. The generator is Philox-4x64-10
(Salmon et al., SC'11, doi:10.1145/2063384.2063405). Its 128-bit key is
(seed, purpose). Its 256-bit counter has four words: the position in a stream,
the device of :meth:`Streams.words`, the device of :meth:`Streams.generator`,
and the iteration. The device is not in the word of the position, so streams of
different devices never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats, HostInts, HostWords

_WORDS_A_BLOCK = 4  # Philox-4x64 turns one counter into four words
_UNIT = 2.0**-53


class Purpose(IntEnum):
    """Purpose of a stream. The numbers affect every result: never change or reuse one."""

    PROBLEM = 1
    PARTITION = 2
    BYZANTINE = 3
    SUBSET_ORDER = 4
    DEVICE_ROWS = 5
    ATTACK = 6
    COMPRESSION = 7
    DECODER = 8
    PRE_AGGREGATION = 9
    BATCH = 10
    MODEL = 11
    TEST_SPLIT = 12


@dataclass(frozen=True, slots=True)
class Streams:
    """All the random streams of one run.

    Parameters
    ----------
    seed : int
        The seed of the spec, ``0 <= seed < 2**64``.
    """

    seed: int

    def words(
        self,
        purpose: Purpose,
        iteration: int,
        count: int,
        *,
        first_device: int = 0,
        num_devices: int = 1,
    ) -> HostWords:
        """Draw uniform 64-bit words for a contiguous block of devices.

        Row i holds the first ``count`` words of the stream of device ``first_device + i``.
        They do not depend on the block of devices.

        Returns
        -------
        ndarray of uint64, shape (num_devices, count)
        """
        blocks = -(-count // _WORDS_A_BLOCK)
        philox = self._philox(purpose, iteration, row=first_device)
        words = np.empty((num_devices, blocks * _WORDS_A_BLOCK), dtype=np.uint64)
        for stream in words:
            stream[:] = philox.random_raw(len(stream))
            philox.advance(2**64 - blocks)  # to the start of the next device's stream
        return words[:, :count]

    def permutation(self, purpose: Purpose, iteration: int, size: int) -> HostInts:
        """Draw a uniform permutation of ``range(size)``, int64, shape (size,).

        The permutation sorts random words. ``Generator.permutation`` may return other
        numbers in another NumPy release.
        """
        return np.argsort(self.words(purpose, iteration, size)[0], kind="stable")

    def generator(
        self, purpose: Purpose, iteration: int = 0, device: int = 0
    ) -> np.random.Generator:
        """Return a generator for one device in one iteration, for example for normal numbers."""
        return np.random.Generator(self._philox(purpose, iteration, device=device + 1))

    def _philox(
        self, purpose: Purpose, iteration: int, *, row: int = 0, device: int = 0
    ) -> np.random.Philox:
        key = np.array([self.seed, int(purpose)], dtype=np.uint64)
        counter = np.array([0, row, device, iteration], dtype=np.uint64)
        return np.random.Philox(counter=counter, key=key)


def unit_interval(words: HostWords) -> HostFloats:
    """Convert 64-bit words to uniform float64 numbers in [0, 1), of the same shape."""
    return (words >> np.uint64(11)) * _UNIT
