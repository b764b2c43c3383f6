"""How the samples of a data set are split into subsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import HostInts

PartitionKind = Literal["shuffled", "sorted", "dirichlet", "similarity"]

#: Number of bins that replace labels if the targets are numbers.
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
    targets: npt.NDArray[Any],
    num_subsets: int,
    streams: Streams,
    *,
    kind: PartitionKind,
    concentration: float = 1.0,
    similarity: float = 0.0,
    num_classes: int = 0,
) -> Partition:
    """Split n samples into N subsets, as a pure function of the seed and the targets.

    Parameters
    ----------
    targets : ndarray, shape (n,)
        Numbers, or class numbers from 0; n ≥ N.
    num_subsets : int
        N.
    streams : Streams
        The run's random streams.
    kind : {"shuffled", "sorted", "dirichlet", "similarity"}
        See Notes.
    concentration : float
        Parameter of the symmetric Dirichlet distribution. A smaller one makes the subsets
        less alike.
    similarity : float
        Share of the samples that are split at random, from 0 to 1.
    num_classes : int
        C, or 0 if the targets are numbers.

    Returns
    -------
    Partition

    Notes
    -----
    ``"shuffled"`` splits the samples at random, and ``"sorted"`` by target, smallest first.
    Their sizes differ by at most one.

    ``"dirichlet"`` splits the samples of each label in proportions drawn from a Dirichlet
    distribution. Numbers have no labels, so they are cut into ten bins of equal frequency;
    equal numbers share a bin. Each empty subset then takes one sample from the largest subset,
    so that every f_k is defined.

    ``"similarity"`` deals out a random share of the samples evenly, and sorts the rest by
    target [1]_. With 0 this is ``"sorted"``.

    References
    ----------
    .. [1] Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic controlled
       averaging for federated learning", ICML 2020, arXiv:1910.06378, section 7.
    """
    num_samples = len(targets)
    if kind == "sorted":
        return Partition(np.argsort(targets, kind="stable"), _even(num_samples, num_subsets))
    shuffled = streams.permutation(Purpose.PARTITION, 0, num_samples)
    if kind == "shuffled":
        return Partition(shuffled, _even(num_samples, num_subsets))
    if kind == "similarity":
        owners = _similarity_owners(targets, num_subsets, shuffled, similarity)
    else:
        bins = np.searchsorted(np.sort(targets), targets) * NUM_BINS // num_samples
        labels, count = (targets, num_classes) if num_classes else (bins, NUM_BINS)
        proportions = streams.generator(Purpose.PARTITION).dirichlet(
            np.full(num_subsets, concentration), size=count
        )
        owners = _dirichlet_owners(labels, proportions, shuffled)
    _fill_empty(owners, num_subsets)
    sizes = np.bincount(owners, minlength=num_subsets)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    return Partition(np.argsort(owners, kind="stable"), offsets)


def _even(num_samples: int, num_subsets: int) -> HostInts:
    return np.arange(num_subsets + 1, dtype=np.int64) * num_samples // num_subsets


def _similarity_owners(
    targets: npt.NDArray[Any], num_subsets: int, shuffled: HostInts, similarity: float
) -> HostInts:
    """Return the subset of each sample."""
    num_alike = round(similarity * len(targets))
    alike, rest = shuffled[:num_alike], np.sort(shuffled[num_alike:])
    rest = rest[np.argsort(targets[rest], kind="stable")]
    subsets = np.arange(num_subsets)
    owners = np.empty(len(targets), dtype=np.int64)
    owners[rest] = np.repeat(subsets, np.diff(_even(len(rest), num_subsets)))
    # Backwards, so that the larger parts of both meet in different subsets.
    owners[alike] = np.repeat(subsets[::-1], np.diff(_even(num_alike, num_subsets)))
    return owners


def _dirichlet_owners(
    labels: npt.NDArray[Any], proportions: npt.NDArray[np.float64], shuffled: HostInts
) -> HostInts:
    """Return the subset of each sample; row c of the proportions is for label c."""
    owners = np.empty(len(labels), dtype=np.int64)
    for label, shares in enumerate(proportions):
        members = shuffled[labels[shuffled] == label]
        ends = np.cumsum(shares[:-1]) * len(members)
        owners[members] = np.searchsorted(ends, np.arange(len(members)), side="right")
    return owners


def _fill_empty(owners: HostInts, num_subsets: int) -> None:
    """Give each empty subset one sample of the largest subset."""
    sizes = np.bincount(owners, minlength=num_subsets)
    for empty in np.flatnonzero(sizes == 0):
        donor = np.argmax(sizes)
        owners[np.flatnonzero(owners == donor)[-1]] = empty
        sizes[donor] -= 1
        sizes[empty] = 1
