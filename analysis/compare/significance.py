"""Permutation tests of many quantities at once, for few replicates."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.statistics import CONFIDENCE, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.types import HostFloats

#: Greatest probability of at least one wrong verdict in a comparison.
LEVEL = 1 - CONFIDENCE
#: Arrangements of the replicates of a method. All are used if there are fewer.
_ARRANGEMENTS = 9_999
#: Joint draws from the arrangements of all methods.
_DRAWS = 20_000
_SEED = 20_240_607
#: Stands for infinity, which SciPy does not accept.
_GREATEST = 1e30
#: Relative difference below which two statistics, in single precision, count as equal.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Replicates of k quantities before and after a change.

    A replicate has a value of each quantity, so its values move together when replicates
    are exchanged.

    Parameters
    ----------
    before : ndarray of float64, shape (k, n)
        Finite values.
    after : ndarray of float64, shape (k, m)
        Finite values.
    paired : bool
        Whether columns with the same number belong together; then n = m.
    """

    before: HostFloats
    after: HostFloats
    paired: bool

    @property
    def least_p(self) -> float:
        """The smallest p-value that this number of replicates can give."""
        n, m = self.before.shape[1], self.after.shape[1]
        return min(1.0, 2 / (2**n if self.paired else math.comb(n + m, n)))

    @property
    def decides(self) -> bool:
        """Whether there are enough replicates for any verdict."""
        return self.least_p <= LEVEL


def adjusted_p(samples: Sequence[Sample]) -> HostFloats:
    """Return p-values of "nothing changed", adjusted for the number of all quantities.

    Parameters
    ----------
    samples : sequence of Sample
        One for each method, for instance. Each must have enough replicates to decide.

    Returns
    -------
    ndarray of float64, shape (sum of k,)
        One for each quantity of the first sample, then of the second, and so on. Accept a
        change where the value is at most :data:`LEVEL`: then the probability of one or more
        wrong verdicts is at most :data:`LEVEL`. The same input gives the same values.

    Notes
    -----
    If nothing changed, it is chance which launches are called before and which after. The
    test therefore exchanges these labels in all ways (or at random, if there are many ways),
    and for pairs the two values of each pair. It compares Student's t of the logs with the
    maximum of t over all quantities, and steps down (Westfall and Young, "Resampling-based
    multiple testing", 1993, algorithm 2.8). It needs no distribution of times. Unlike
    the correction of Bonferroni or Holm, it needs hardly more replicates for many quantities
    than for one, because a large t is rare under exchange in every quantity.
    """
    from scipy import stats  # noqa: PLC0415  (slow to import)

    if not samples:
        return np.empty(0)
    rng = np.random.default_rng(_SEED)
    observed, drawn = [], []
    for sample in samples:
        paired = sample.paired
        # The variance of diverged losses may overflow; t is then 0.
        with np.errstate(over="ignore", invalid="ignore"):
            found = stats.permutation_test(
                (sample.after - sample.before,) if paired else (sample.before, sample.after),
                _t_of_differences if paired else _t_of_samples,
                permutation_type="samples" if paired else "independent",
                vectorized=True,
                axis=-1,
                n_resamples=_ARRANGEMENTS,
                random_state=np.random.default_rng(_SEED),
            )
        null = found.null_distribution
        observed.append(np.asarray(found.statistic))
        drawn.append(null[rng.integers(len(null), size=_DRAWS)].astype(np.float32))
    return _step_down(np.concatenate(observed), np.concatenate(drawn, axis=1))


def change_of_mean(before: HostFloats, after: HostFloats, *, paired: bool) -> Interval:
    """Return the difference of the means of one quantity with Student's interval.

    Parameters
    ----------
    before, after, paired
        As in :class:`Sample`, with k left out.

    Returns
    -------
    Interval
        Its coverage holds for this quantity alone; None if there are not two replicates.
    """
    from scipy import stats  # noqa: PLC0415  (slow to import)

    difference = float(after.mean() - before.mean())
    if min(len(before), len(after)) < 2:
        return Interval(difference, difference, difference)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Equal values have no spread. Their interval is a point.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = (
            stats.ttest_1samp(after - before, 0.0)
            if paired
            else stats.ttest_ind(after, before, equal_var=False)
        )
        low, high = test.confidence_interval(CONFIDENCE)
    if not math.isfinite(low) or not math.isfinite(high):
        low = high = difference
    return Interval(difference, float(low), float(high), CONFIDENCE)


def _t_of_samples(before: HostFloats, after: HostFloats, axis: int) -> HostFloats:
    spread = before.var(axis, ddof=1) / before.shape[axis]
    spread = spread + after.var(axis, ddof=1) / after.shape[axis]
    return _ratio(after.mean(axis) - before.mean(axis), spread)


def _t_of_differences(differences: HostFloats, axis: int) -> HostFloats:
    spread = differences.var(axis, ddof=1) / differences.shape[axis]
    return _ratio(differences.mean(axis), spread)


def _ratio(difference: HostFloats, variance: HostFloats) -> HostFloats:
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0/0 if all values are equal: nothing changed.
        t = np.nan_to_num(np.abs(difference) / np.sqrt(variance), nan=0.0, posinf=_GREATEST)
    return np.minimum(t, _GREATEST)


def _step_down(observed: HostFloats, drawn: HostFloats) -> HostFloats:
    order = np.argsort(-observed)
    # Column i: the maximum over the quantities whose t is not larger than the i-th largest.
    greatest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    reached = greatest >= observed[order] * (1 - _ROUNDING)
    p = (1 + reached.sum(axis=0)) / (1 + len(drawn))
    adjusted = np.empty(len(observed))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted
