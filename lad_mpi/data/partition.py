"""How the samples of a data set are split into subsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts

PartitionKind = Literal["shuffled", "sorted", "dirichlet"]

#: Number of bins of the target, which replace labels.
NUM_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Samples in the order of their subsets.

    Parameters
    ----------
    order : ndarray of int64, shape (n,)
        Sample numbers, those of subset 0 first.
    offsets : ndarray of int64, shape (N + 1,)
        Subset k holds ``order[offsets[k]:offsets[k + 1]]``, at least one sample.
    """

    order: HostInts
    offsets: HostInts


def partition(
    targets: HostFloats,
    num_subsets: int,
    streams: Streams,
    *,
    kind: PartitionKind,
    concentration: float = 1.0,
) -> Partition:
    """Split n samples into N subsets, as a pure function of the seed and the targets.

    Parameters
    ----------
    targets : ndarray, shape (n,)
        Targets of the samples, n ≥ N.
    num_subsets : int
        N.
    streams : Streams
        The run's random streams.
    kind : {"shuffled", "sorted", "dirichlet"}
        ``"shuffled"`` splits at random, ``"sorted"`` by target, smallest first, and
        ``"dirichlet"`` each bin of the target in proportions drawn from a Dirichlet
        distribution.
    concentration : float
        Parameter of the symmetric Dirichlet distribution. A smaller one makes the subsets
        less alike.

    Returns
    -------
    Partition

    Notes
    -----
    ``"shuffled"`` and ``"sorted"`` give sizes that differ by at most one. ``"dirichlet"``
    cuts the targets into ten bins of equal frequency. Equal targets share a bin, so a few
    distinct values act as labels. The shuffled samples of each bin are split in the drawn
    proportions. Each empty subset then takes one sample from the largest subset, so that
    every f_k is defined.
    """
    num_samples = len(targets)
    even = np.arange(num_subsets + 1, dtype=np.int64) * num_samples // num_subsets
    if kind == "sorted":
        return Partition(np.argsort(targets, kind="stable"), even)
    shuffled = streams.permutation(Purpose.PARTITION, 0, num_samples)
    if kind == "shuffled":
        return Partition(shuffled, even)
    owners = _dirichlet_owners(targets, num_subsets, streams, shuffled, concentration)
    sizes = np.bincount(owners, minlength=num_subsets)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    return Partition(np.argsort(owners, kind="stable"), offsets)


def _dirichlet_owners(
    targets: HostFloats,
    num_subsets: int,
    streams: Streams,
    shuffled: HostInts,
    concentration: float,
) -> HostInts:
    labels = np.searchsorted(np.sort(targets), targets) * NUM_BINS // len(targets)
    proportions = streams.generator(Purpose.PARTITION).dirichlet(
        np.full(num_subsets, concentration), size=NUM_BINS
    )
    owners = np.empty(len(targets), dtype=np.int64)
    for label in range(NUM_BINS):
        members = shuffled[labels[shuffled] == label]
        ends = np.cumsum(proportions[label, :-1]) * len(members)
        owners[members] = np.searchsorted(ends, np.arange(len(members)), side="right")
    _fill_empty(owners, num_subsets)
    return owners


def _fill_empty(owners: HostInts, num_subsets: int) -> None:
    sizes = np.bincount(owners, minlength=num_subsets)
    for empty in np.flatnonzero(sizes == 0):
        donor = np.argmax(sizes)
        owners[np.flatnonzero(owners == donor)[-1]] = empty
        sizes[donor] -= 1
        sizes[empty] = 1
