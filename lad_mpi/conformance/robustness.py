"""The error of a rule under attack, in units of the honest dispersion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.types import HostFloats

_SEED = 30


def ratio(
    rule: Callable[[HostFloats], HostFloats], honest: HostFloats, hostile: HostFloats
) -> float:
    """Return ‖R − honest mean‖² in units of the honest dispersion, which κ bounds.

    Parameters
    ----------
    rule : callable
        Maps all messages, honest ones first, to an estimate.
    honest : ndarray, shape (n − f, Q)
    hostile : ndarray, shape (f, Q)
    """
    mean = honest.mean(axis=0)
    dispersion = ((honest - mean) ** 2).sum(axis=1).mean()
    error = rule(np.concatenate([honest, hostile])) - mean
    return float(error @ error / dispersion)


def worst_ratio(
    rule: Callable[[HostFloats], HostFloats], num_messages: int, num_byzantine: int
) -> float:
    """Return the largest ratio over several sorts of honest messages and attacks."""
    generator = np.random.default_rng(_SEED)
    worst = 0.0
    for honest, hostile in _two_places(num_messages, num_byzantine):
        worst = max(worst, ratio(rule, honest, hostile))
    for columns in (1, 2, 10):
        for skewed in (False, True):
            honest = generator.normal(size=(num_messages - num_byzantine, columns)) + 1.0
            if skewed:
                honest = honest**3
            for hostile in _attacks(honest, num_byzantine, generator):
                worst = max(worst, ratio(rule, honest, hostile))
    return worst


def _two_places(num_messages: int, num_byzantine: int) -> Iterator[tuple[HostFloats, HostFloats]]:
    """Yield honest messages that are 0 or 1, and hostile ones there or beyond.

    Trimmed means and medians attain their κ here, so a declared κ that is too small is found.
    """
    num_honest = num_messages - num_byzantine
    for ones in range(1, num_honest):
        honest = (np.arange(num_honest) < ones).astype(float)[:, None]
        for place in (-1.0, 0.0, 1.0, 2.0):
            yield honest, np.full((num_byzantine, 1), place)


def _attacks(
    honest: HostFloats, num_byzantine: int, generator: np.random.Generator
) -> Iterator[HostFloats]:
    """Yield f hostile rows of several kinds, weak and strong."""
    mean, deviation = honest.mean(axis=0), honest.std(axis=0)
    points = [
        -2.0 * mean,
        -0.1 * mean,
        0.0 * mean,
        mean + 1e6,
        *(mean - z * deviation for z in (0.3, 1.0, 1.5, 3.0)),
        honest[0],
        honest[np.argmax(((honest - mean) ** 2).sum(axis=1))],
    ]
    for point in points:
        yield np.tile(point, (num_byzantine, 1))
    yield mean + 3.0 * generator.normal(size=(num_byzantine, len(mean)))
