"""Find the wrong rows from Fourier syndromes: smoothed MUSIC with erasures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.coding.checks import Evidence, HostComplex
    from lad_mpi.types import HostInts

# Directions stronger than this are not noise; in units of epsilon and the largest projection.
_SIGNAL_EPSILONS = 8.0

# MUSIC gives 0 for an error and about 1 for a row far from all errors.
_ACCEPTED = 1e-2

# Exchanges for each row that may be wrong, before the search gives up.
_EXCHANGES = 4


def locate_errors(evidence: Evidence, most: int) -> HostInts:
    """Find the rows whose errors explain the checks.

    Parameters
    ----------
    evidence : Evidence
        Checks and projections.
    most : int
        f, how many rows may be wrong.

    Returns
    -------
    ndarray of int64, shape (a,), a ≤ f
        The rows found, ascending. If no rows explain the checks, the best attempt.

    Notes
    -----
    The syndromes S = C Y of errors in rows r_1 … r_a are sums of the vectors
    (1, z_r, z_r², …). Windows of L consecutive frequencies, side by side, span
    a subspace that holds these vectors (spatial smoothing: it separates errors
    that are equal or dependent), and a row is an error if its vector lies there
    (MUSIC). Long windows resolve best, short ones separate most; they are tried
    from long to short until the residual is explained by rounding. Rows already
    found are erased by the polynomial that vanishes at them, so that errors of
    very different sizes are found one size after another.

    References
    ----------
    Schmidt, doi:10.1109/TAP.1986.1143830 (MUSIC).
    Shan, Wax, Kailath, doi:10.1109/TASSP.1985.1164649 (spatial smoothing).
    """
    overflowed = evidence.overflowed()
    best, least = overflowed[:most], math.inf
    if len(overflowed) > most:
        return best
    for smoothing in _smoothings(len(evidence.checks), evidence.projections.shape[1], most):
        located = _rounds(evidence, overflowed, most, smoothing)
        residual = evidence.residual(located)
        if residual < least:
            best, least = located, residual
        if least <= evidence.tolerance:
            return best
    return _exchange(evidence, overflowed, best, least, most)


def _smoothings(num_checks: int, num_projections: int, most: int) -> Iterator[int]:
    """Yield numbers of windows, from those that separate independent errors on."""
    yield 1
    fewest = max(2, -(-most // num_projections))
    # Growing by half; of the largest numbers, which equal errors need, every one.
    count, largest = fewest, num_checks - most
    while count < largest - 3:
        yield count
        count = max(count + 1, count * 3 // 2)
    yield from range(max(fewest, largest - 3), largest + 1)


def _rounds(evidence: Evidence, erased: HostInts, most: int, smoothing: int) -> HostInts:
    """Find rows, erase them, and look again until nothing more is found."""
    located = erased
    while len(located) < most:
        left = most - len(located)
        windows = -(-smoothing * left // most)
        found = _music(evidence, located, left, windows)
        if len(found) == 0:
            break
        # The surer half of what one window could not hold: the rest is clearer without it.
        accepted = found if windows == 1 else found[: -(-len(found) // 2)]
        located = np.union1d(located, accepted)
    return located


def _music(evidence: Evidence, erased: HostInts, most: int, smoothing: int) -> HostInts:
    values, scale = evidence.scaled(erased)
    if scale == 0.0:
        return erased[:0]
    differences = evidence.nodes[:, None] - evidence.nodes[erased]
    eraser = differences.prod(axis=1)
    weighted = eraser[:, None] * values
    syndromes = evidence.checks[: len(evidence.checks) - len(erased)] @ weighted
    length = len(syndromes) - smoothing + 1
    if length < 2:
        return erased[:0]
    windows = np.concatenate([syndromes[k : k + length] for k in range(smoothing)], axis=1)
    basis, strengths, _ = np.linalg.svd(windows, full_matrices=True)
    largest = float(np.abs(weighted).max())
    noise = _SIGNAL_EPSILONS * evidence.epsilon * math.sqrt(windows.shape[1]) * largest
    rank = min(int(np.count_nonzero(strengths > noise)), most, length - 1)
    vectors = evidence.nodes ** np.arange(length)[:, None]
    outside = basis[:, rank:].conj().T @ vectors
    scores = np.einsum("ij,ij->j", outside.conj(), outside).real / (length - rank)
    scores[erased] = math.inf
    nearest = np.argsort(scores, kind="stable")[:rank]
    found: HostInts = nearest[scores[nearest] < _ACCEPTED]
    return found


def _exchange(
    evidence: Evidence, erased: HostInts, located: HostInts, least: float, most: int
) -> HostInts:
    """Add or, where there are f, replace one row at a time while that lowers the residual."""
    for _ in range(_EXCHANGES * most):
        fewer = [located]
        if len(located) == most:
            fewer = [located[located != row] for row in np.setdiff1d(located, erased)]
        trials = [np.append(kept, _most_telling(evidence, kept)) for kept in fewer]
        residuals = [evidence.residual(trial) for trial in trials]
        if not min(residuals, default=math.inf) < least:
            break
        located, least = trials[int(np.argmin(residuals))], min(residuals)
        if least <= evidence.tolerance:
            break
    return np.sort(located)


def _most_telling(evidence: Evidence, located: HostInts) -> int:
    """Return the row whose error would explain most of what is left."""
    values, _ = evidence.scaled(located)
    blind: HostComplex = evidence.filtered(located)
    lengths = np.linalg.norm(blind, axis=0)
    lengths[located] = math.inf
    return int(np.argmax(np.linalg.norm(blind.conj().T @ (blind @ values), axis=1) / lengths))
