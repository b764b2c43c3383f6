"""Mini-batches: which samples of each subset are used in an iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts, HostWords

#: Opening a stream takes as long as drawing from this many streams that follow each other.
_OPENING = 6
#: Padding may add this much to the samples.
_PADDED = 1.25


class Batch:
    """The samples of all subsets that are used in one iteration.

    Subsets of almost the same size are padded with samples of weight zero, so that the samples of
    many devices form one array.

    Parameters
    ----------
    samples : ndarray of int64, shape (s,)
        Sample numbers, those of subset 0 first.
    offsets : ndarray of int64, shape (N + 1,)
        Subset k has ``samples[offsets[k]:offsets[k + 1]]``.
    """

    def __init__(self, samples: HostInts, offsets: HostInts) -> None:
        self._samples, self._offsets = samples, offsets
        self._sizes = np.diff(offsets)
        longest = int(self._sizes.max())
        self._table: tuple[HostInts, HostFloats] | None = None
        if longest * len(self._sizes) <= _PADDED * len(samples):
            places = np.arange(longest)
            used = places < self._sizes[:, None]
            table = samples[offsets[:-1, None] + np.where(used, places, 0)]
            self._table = table, used / self._sizes[:, None]

    def sizes(self, subsets: HostInts) -> HostInts:
        """Return the number of samples, with padding, in the subsets of each row."""
        held = subsets >= 0
        if self._table is not None:
            padded: HostInts = held.sum(axis=1) * self._table[0].shape[1]
            return padded
        found: HostInts = np.where(held, self._sizes[subsets], 0).sum(axis=1)
        return found

    def samples(
        self, subsets: HostInts, weights: HostFloats, size: int
    ) -> tuple[HostInts, HostFloats]:
        """Return the samples of rows of one size, and their weights, each of shape (rows, size).

        Parameters
        ----------
        subsets : ndarray of int64, shape (rows, d)
            Subset numbers; -1 pads the rows at the end.
        weights : ndarray of float64, shape (rows, d)
            Weights of the subsets.
        size : int
            The size of each row, from :meth:`sizes`.
        """
        count = len(subsets)
        if self._table is not None:
            table, shares = self._table
            load = size // table.shape[1]
            subsets, weights = subsets[:, :load], weights[:, :load]
            scales = weights[:, :, None] * shares[subsets]
            return table[subsets].reshape(count, size), scales.reshape(count, size)
        samples = np.empty((count, size), dtype=np.int64)
        scales = np.empty((count, size))
        for row, (held, values) in enumerate(zip(subsets, weights, strict=True)):
            own = held[held >= 0]
            parts = [self._samples[self._offsets[k] : self._offsets[k + 1]] for k in own]
            samples[row] = np.concatenate([samples[row, :0], *parts])
            scales[row] = np.repeat(values[held >= 0] / self._sizes[own], self._sizes[own])
        return samples, scales


class Batches:
    """Draws the batch of every subset, and remembers the last draw.

    Parameters
    ----------
    offsets : ndarray of int64, shape (N + 1,)
        Subset k has the samples ``offsets[k]`` to ``offsets[k + 1]``.
    size : int or None
        b, the samples of a batch. A subset with fewer samples is used whole, and so are all
        subsets if it is None.
    streams : Streams
        The run's random streams. Each subset has one of its own in each iteration.

    Attributes
    ----------
    are_drawn : bool
        Whether some subset has more samples than a batch.
    """

    def __init__(self, offsets: HostInts, size: int | None, streams: Streams) -> None:
        self._streams = streams
        self._starts = offsets[:-1]
        self._sizes = np.diff(offsets)
        self._taken = self._sizes if size is None else np.minimum(self._sizes, size)
        self.are_drawn = bool((self._taken < self._sizes).any())
        whole = Batch(np.arange(offsets[-1], dtype=np.int64), offsets)
        self._iteration: int | None = None
        self._batch = self._whole = whole
        # Subsets that are not drawn have their first samples.
        most = int(self._taken.max()) if self.are_drawn else 0
        self._used = np.arange(most) < self._taken[:, None]
        self._chosen = np.tile(np.arange(most), (len(self._sizes), 1))
        self._is_drawn = np.zeros(len(self._sizes) + 1, dtype=bool)

    def of(self, iteration: int | None, subsets: HostInts | None = None) -> Batch:
        """Return the batches of an iteration.

        Parameters
        ----------
        iteration : int or None
            The iteration; None for all samples.
        subsets : ndarray of int64, optional
            The subsets whose batches are used, of any shape; -1 is padding. All if left out.
        """
        if iteration is None or not self.are_drawn:
            return self._whole
        if iteration != self._iteration:
            self._iteration = iteration
            self._is_drawn[:] = False
        needed = np.zeros(len(self._is_drawn), dtype=bool)
        # The last entry collects the padding.
        needed[... if subsets is None else subsets] = True
        missing = np.flatnonzero((needed & ~self._is_drawn)[:-1])
        if len(missing):
            self._chosen[missing] = self._draw(iteration, missing)
            self._is_drawn[missing] = True
            offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self._taken)])
            self._batch = Batch((self._chosen + self._starts[:, None])[self._used], offsets)
        return self._batch

    def _draw(self, iteration: int, subsets: HostInts) -> HostInts:
        """Draw without replacement by Floyd's algorithm, for some subsets at once.

        Subset k uses the words of its own stream only.

        Notes
        -----
        Bentley, Floyd, "A sample of brilliance", Communications of the ACM 30 (1987).
        """
        most, count = self._chosen.shape[1], len(self._sizes)
        lasts = (self._sizes - self._taken)[subsets, None] + np.arange(most)
        words = self._words(iteration, subsets, most, count)
        drawn = (words % (lasts + 1).astype(np.uint64)).astype(np.int64)
        chosen = np.empty(lasts.shape, dtype=np.int64)
        for j in range(most):
            seen = (chosen[:, :j] == drawn[:, j, None]).any(axis=1)
            chosen[:, j] = np.where(seen, lasts[:, j], drawn[:, j])
        return chosen

    def _words(self, iteration: int, subsets: HostInts, most: int, count: int) -> HostWords:
        words, purpose = self._streams.words, Purpose.BATCH
        if len(subsets) * _OPENING > count:
            return words(purpose, iteration, most, num_devices=count)[subsets]
        single = [words(purpose, iteration, most, first_device=k) for k in subsets.tolist()]
        return np.concatenate(single)
