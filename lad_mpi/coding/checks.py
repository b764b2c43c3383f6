"""Linear checks that honest messages pass, shared by the cyclic codes of DRACO.

Both codes send M = W ∇f with a W whose discrete Fourier transform over rows
vanishes at some frequencies, so C M = 0 for the rows C of the transform at
these: C M depends on the errors alone. All functions here work on a few projections
of the messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lad_mpi.arrays import namespace
from lad_mpi.coding.base import Decoded, DecodeStatus
from lad_mpi.columns import agreed, over_columns

if TYPE_CHECKING:
    from lad_mpi.types import Array, HostInts

HostComplex: TypeAlias = npt.NDArray[np.complex128]

#: Root mean square of the checks over the largest projection of the rows that are kept,
#: in units of the dtype's epsilon, that rounding may cause. Honest messages of
#: real runs have up to 3.4 in float64 and 0.9 in float32.
_RESIDUAL_EPSILONS = 16.0

# EXACT promises an error below this power of epsilon (5e-7 in float64, 2e-3 in float32),
# in units of a subset gradient.
_ACCURACY_POWER = 0.4

# Wrong rows that may have been missed: at least three, or a quarter of f. Fewer leave some
# wrong results called exact; more refuse most results in float32 (see docs/draco.md).
_MISSED_ROWS, _MISSED_SHARE = 3, 4

# Projections near the end of float64's range, whose absolute values could overflow.
_TOO_LARGE = 1e300


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a decoder knows about the errors.

    Parameters
    ----------
    checks : ndarray of complex128, shape (m, N)
        C, consecutive rows of the unitary Fourier matrix; column i is of device i.
    nodes : ndarray of complex128, shape (N,)
        Ratio of consecutive entries of each column of C.
    projections : ndarray of float64 or complex128, shape (N, P)
        Random projections of the messages.
    epsilon : float
        Machine epsilon of the messages' dtype.
    """

    checks: HostComplex
    nodes: HostComplex
    projections: npt.NDArray[np.inexact[Any]]
    epsilon: float

    @property
    def tolerance(self) -> float:
        """The largest residual that rounding can cause."""
        return _RESIDUAL_EPSILONS * self.epsilon

    def filtered(self, located: HostInts) -> HostComplex:
        """Return combinations of the checks that do not see the located rows.

        Returns
        -------
        ndarray of complex128, shape (m − a, N)
            Orthonormal combinations, exactly zero in the columns of the a located rows.
        """
        basis, _ = np.linalg.qr(self.checks[:, located], mode="complete")
        blind: HostComplex = basis[:, len(located) :].conj().T @ self.checks
        blind[:, located] = 0.0
        return blind

    def residual(self, located: HostInts) -> float:
        """Return the residual of the checks without the located rows.

        Returns
        -------
        float
            Root mean square over the largest projection of the other rows. It depends
            neither on a common scale nor on the located errors.
        """
        values, scale = self.scaled(located)
        if not math.isfinite(scale):
            return math.inf
        remaining = self.filtered(located) @ values
        return float(np.sqrt(np.mean(np.abs(remaining) ** 2))) if remaining.size else 0.0

    def scaled(self, located: HostInts) -> tuple[npt.NDArray[np.inexact[Any]], float]:
        """Return the projections, zero in located rows, over their largest size; and that size."""
        values = self.projections.copy()
        values[located] = 0.0
        scale = float(np.abs(values).max(initial=0.0))
        if scale > 0.0 and math.isfinite(scale):
            values /= scale
        return values, scale

    def hidden_error(
        self, located: HostInts, weights: HostComplex, residual: float, most: int
    ) -> float:
        """Return how far errors that were missed may move the result.

        Parameters
        ----------
        located : ndarray of int64, shape (a,)
            Rows that are left out.
        weights : ndarray of complex128, shape (N,)
            v, the decoding weights, zero at these rows.
        residual : float
            What :meth:`residual` returns for these rows.
        most : int
            f, how many rows may be wrong.

        Returns
        -------
        float
            In units of the (f+1)-th largest projection, which f rows cannot raise above
            the largest honest one.

        Notes
        -----
        Errors e in rows B move the result by v_B e_B, and the checks see K_B e_B, with
        K the filtered checks. What they see is no larger than the residual and its
        rounding, so the result moves by at most ‖v_B K_B⁺‖ times that. B is unknown; its
        rows are chosen one after another, each to raise this the most.
        """
        _, scale = self.scaled(located)
        if scale == 0.0:
            return 0.0
        seen: Any = self.filtered(located)
        moved: Any = weights
        unseen = math.sqrt(len(seen)) * (residual + self.epsilon)
        if not np.iscomplexobj(self.projections):
            # The errors of a real code are real.
            seen, moved = np.vstack([seen.real, seen.imag]), weights.real
        free = np.ones(len(weights), dtype=bool)
        free[located] = False
        squares = 0.0
        with np.errstate(all="ignore"):
            for _ in range(min(max(_MISSED_ROWS, most // _MISSED_SHARE), most)):
                lengths = np.linalg.norm(seen, axis=0)
                shares = np.where(free, np.nan_to_num(np.abs(moved) / lengths, posinf=math.inf), 0)
                row = int(np.argmax(shares))
                if not math.isfinite(shares[row]):
                    return math.inf
                squares += float(shares[row]) ** 2
                free[row] = False
                # This row now hides what it can of the others.
                direction = seen[:, row] / lengths[row]
                along = direction.conj() @ seen
                moved = moved - moved[row] / lengths[row] * along
                seen = seen - np.outer(direction, along)
            sizes = np.sort(np.abs(self.projections).max(axis=1))
            return float(math.sqrt(squares) * unseen * np.divide(scale, sizes[-1 - most]))

    def overflowed(self) -> HostInts:
        """Return the rows that are too large to project, int64, ascending."""
        parts = np.maximum(np.abs(self.projections.real), np.abs(self.projections.imag))
        # This comparison counts NaN as too large.
        rows: HostInts = np.flatnonzero(~(parts < _TOO_LARGE).all(axis=1))
        return rows


def fourier_checks(rows: HostInts, first: int, count: int) -> tuple[HostComplex, HostComplex]:
    r"""Return consecutive rows of the unitary Fourier matrix, its columns in a given order.

    Parameters
    ----------
    rows : ndarray of int64, shape (N,)
        Position of each device in the code; a permutation.
    first, count : int
        The frequencies first … first + count − 1.

    Returns
    -------
    checks : ndarray of complex128, shape (count, N)
        :math:`e^{-2\pi i k r / N} / \sqrt N` for frequency k and the row r of each device.
    nodes : ndarray of complex128, shape (N,)
        :math:`e^{-2\pi i r / N}`.
    """
    size = len(rows)
    roots = np.exp(-2j * np.pi * np.arange(size) / size)
    # Reduced as integers, so that large products cost no accuracy.
    turns = np.outer(np.arange(first, first + count), rows) % size
    return roots[turns] / math.sqrt(size), roots[rows]


def honest_combination(checks: HostComplex, located: HostInts) -> HostComplex:
    """Return weights of the messages whose sum is ∇F, zero for the located rows.

    Parameters
    ----------
    checks : ndarray of complex128, shape (m, N)
        C, with orthonormal rows that are orthogonal to the ones.
    located : ndarray of int64, shape (a,)
        Rows to leave out.

    Returns
    -------
    ndarray of complex128, shape (N,)

    Notes
    -----
    The mean of all rows of W ∇f is ∇F, and adding y C changes nothing as C W = 0:
    v = 1/N − y C with the least y that makes v vanish at the located rows. This
    equals subtracting the least-squares errors from the messages, without computing them.
    """
    size = checks.shape[1]
    weights = np.full(size, 1.0 / size, dtype=np.complex128)
    if len(located):
        target = np.full(len(located), 1.0 / size)
        weights -= np.linalg.lstsq(checks[:, located].T, target, rcond=None)[0] @ checks
        weights[located] = 0.0
    return weights


def conclude(
    messages: Array,
    evidence: Evidence,
    located: HostInts,
    row_weights: npt.NDArray[np.inexact[Any]],
    most: int,
) -> Decoded:
    """Combine the honest messages into ∇F, and check the result.

    Parameters
    ----------
    messages : array, shape (N, Q) or (N, 2Q)
        The messages; real and imaginary parts where the code is complex.
    evidence : Evidence
        The checks and projections.
    located : ndarray of int64, shape (a,)
        Devices taken to be wrong.
    row_weights : ndarray, shape (d,)
        Encoding weights of one device.
    most : int
        f, how many devices may be wrong.
    """
    xp = namespace(messages)
    weights = honest_combination(evidence.checks, located)
    real = xp.asarray(weights.real, dtype=messages.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.iscomplexobj(row_weights):
            dimension = messages.shape[1] // 2
            imaginary = xp.asarray(weights.imag, dtype=messages.dtype)
            gradient = real @ messages[:, :dimension] - imaginary @ messages[:, dimension:]
        else:
            gradient = xp.empty(messages.shape[1], dtype=messages.dtype)

            def combine(columns: slice) -> None:
                gradient[columns] = real @ messages[:, columns]

            for _ in over_columns(messages, combine):
                pass
        broken = not bool(xp.isfinite(gradient).all())
    detail = _doubt(evidence, located, weights, float(np.linalg.norm(row_weights)), most)
    if agreed(np.array([broken], dtype=np.float64))[0]:
        gradient = xp.zeros_like(gradient)
        detail = "the messages are too large to be combined"
    status = DecodeStatus.FAILED if detail else DecodeStatus.EXACT
    return Decoded(gradient, status, detail, tuple(located.tolist()))


def _doubt(
    evidence: Evidence,
    located: HostInts,
    weights: HostComplex,
    row_length: float,
    most: int,
) -> str:
    """Return why a combination cannot be trusted; empty if it can."""
    residual = evidence.residual(located)
    if not residual <= evidence.tolerance:
        return (
            f"the messages left after leaving out {len(located)} are still inconsistent: "
            f"residual {residual:.1e}, of which rounding explains {evidence.tolerance:.1e}"
        )
    accuracy = evidence.epsilon**_ACCURACY_POWER
    rounding = evidence.epsilon * float(np.linalg.norm(weights)) * row_length
    if not rounding <= accuracy:
        return f"rounding alone makes errors of {rounding:.1e} of a subset gradient"
    hidden = evidence.hidden_error(located, weights, residual, most) * row_length
    if not hidden <= accuracy:
        return (
            f"errors of {hidden:.1e} of a subset gradient could be hidden from the checks, "
            f"and {accuracy:.1e} is allowed at this precision"
        )
    return ""
