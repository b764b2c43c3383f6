"""The samples that a regression is trained on: drawn, or read and standardized."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.errors import DataError
from lad_mpi.rng import Purpose

if TYPE_CHECKING:
    from lad_mpi.data.samples import Samples
    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts

_FEATURE_SCALE = 10.0


def draw(
    num_subsets: int,
    dimension: int,
    samples_per_subset: int,
    heterogeneity: float,
    streams: Streams,
) -> tuple[HostFloats, HostFloats, HostInts]:
    """Draw the samples of the synthetic problem.

    Parameters
    ----------
    num_subsets, dimension, samples_per_subset : int
        N, Q and m.
    heterogeneity : float
        σ_H, how far the true models of the subsets lie apart.
    streams : Streams
        The run's random streams. Each subset has one of its own.

    Returns
    -------
    features : ndarray of float64, shape (N m, Q)
    targets : ndarray of float64, shape (N m,)
    offsets : ndarray of int64, shape (N + 1,)
        Subset k has the rows ``offsets[k]`` to ``offsets[k + 1]``.
    """
    Q, m = dimension, samples_per_subset
    common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(Q)
    features = np.empty((num_subsets * m, Q))
    targets = np.empty(num_subsets * m)
    offsets = np.arange(num_subsets + 1, dtype=np.int64) * m
    for k in range(num_subsets):
        rows = slice(k * m, (k + 1) * m)
        generator = streams.generator(Purpose.PROBLEM, device=k + 1)
        # σ_H only scales ε, so that all else is the same for every σ_H.
        model = common + heterogeneity * generator.standard_normal(Q)
        generator.standard_normal(out=features[rows])
        features[rows] *= _FEATURE_SCALE
        # A sum outside BLAS: the data must not depend on a rank's number of threads.
        targets[rows] = (features[rows] * model).sum(axis=1) + generator.standard_normal(m)
    return features, targets, offsets


def with_features(
    samples: Samples, num_subsets: int, source: str, *, standardize: bool, intercept: bool
) -> Samples:
    """Return samples with the features that are trained on.

    Parameters
    ----------
    samples : Samples
        As they were read. Their features are overwritten.
    num_subsets : int
        N.
    source : str
        The name of the data in messages.
    standardize : bool
        Whether to shift and scale features to mean 0 and variance 1.
    intercept : bool
        Whether to add a last feature that is 1 everywhere.

    Raises
    ------
    DataError
        There are fewer samples than subsets, or a feature is too large to standardize.
    """
    features, count = samples.features, len(samples.targets)
    if count < num_subsets:
        raise DataError(
            f"data {source!r} has {count} samples, too few for {num_subsets} subsets of "
            "at least one",
            hint=f"set devices.count to {count} or less",
        )
    if standardize:
        _standardize(features, source)
    if intercept:
        features = np.column_stack([features, np.ones(count)])
    return replace(samples, features=features)


def _standardize(features: HostFloats, source: str) -> None:
    """Shift and scale columns to mean 0 and variance 1, in place."""
    largest = np.maximum(features.max(axis=0), -features.min(axis=0))
    with np.errstate(over="ignore", invalid="ignore"):
        features -= features.mean(axis=0)
        deviations = features.std(axis=0)
    if not np.isfinite(deviations).all():
        column = int(np.argmin(np.isfinite(deviations)))
        raise DataError(
            f"data {source!r}: feature {column} (counted from 0) has values too large to "
            "standardize",
            hint="rescale that feature",
        )
    # Rounding leaves a constant feature with a tiny deviation, which must not be blown up.
    constant = deviations <= 1e-13 * largest
    features /= np.where(constant, 1.0, deviations)
    features[:, constant] = 0.0
