"""The loss and the gradients of least squares, for samples that lie grouped by subset."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.types import Array, HostFloats, HostInts

#: Rows longer than this are worked on one by one: a gathered copy leaves the cache.
_LONG_ROW = 2**15
#: Numbers that are gathered at once on a GPU.
_GATHERED = 2**26
#: Numbers that the loss converts to float64 at once.
_LOSS_BLOCK = 2**22
#: The optimum is solved for up to this n·Q·min(n, Q): a few seconds on one core.
_SOLVABLE = 5e9


class LeastSquares:
    """Least squares on samples in the memory of a backend, grouped by subset.

    Parameters
    ----------
    features : ndarray of float64, shape (n, Q)
        One row a sample, those of subset 0 first.
    targets : ndarray of float64, shape (n,)
        Their targets.
    offsets : ndarray of int64, shape (N + 1,)
        Subset k holds the rows ``offsets[k]`` to ``offsets[k + 1]``, at least one.
    backend : Backend
        Array library and dtype.
    digest, reading : str
        Of the data that were read; empty if they were drawn.

    Raises
    ------
    DataError
        A number is too large for the dtype of the backend.
    """

    def __init__(
        self,
        features: HostFloats,
        targets: HostFloats,
        offsets: HostInts,
        backend: Backend,
        *,
        digest: str = "",
        reading: str = "",
    ) -> None:
        self.digest = digest
        self.reading = reading
        sizes = np.diff(offsets)
        self._backend = backend
        self._features = backend.asarray(_narrowed(features, backend))
        self._targets = backend.asarray(_narrowed(targets, backend))
        self._offsets: list[int] = offsets.tolist()
        self._weights = np.repeat(1.0 / (len(sizes) * sizes), sizes)
        self._weights_there = backend.asarray(self._weights, dtype=np.float64)
        equal = bool((sizes == sizes[0]).all())
        if backend.kind == "cupy":
            self._write = self._equal_sizes if equal else self._one_by_one
        else:
            gather = equal and sizes[0] == 1 and self.dimension <= _LONG_ROW
            self._write = self._single_samples if gather else self._one_by_one

    @property
    def num_subsets(self) -> int:
        """N, the number of data subsets."""
        return len(self._offsets) - 1

    @property
    def dimension(self) -> int:
        """Q, the number of features, the intercept included."""
        return int(self._features.shape[1])

    @property
    def num_samples(self) -> int:
        """Number of samples in all subsets together."""
        return int(self._features.shape[0])

    @cached_property
    def optimum(self) -> HostFloats | None:
        """The minimiser of F of least norm, shape (Q,), float64 on the host, read-only.

        It is computed at the first access, from the samples as the backend holds them. It
        is None if n·Q·min(n, Q) > 5·10⁹, with n samples in all, because this would take
        more than a few seconds.
        """
        n, Q = self._features.shape
        if n * Q * min(n, Q) > _SOLVABLE:
            return None
        roots = np.sqrt(self._weights)
        A = to_host(self._features) * roots[:, None]
        b = to_host(self._targets) * roots
        solution: HostFloats = np.linalg.lstsq(A, b)[0]
        solution.flags.writeable = False
        return solution

    def initial_model(self) -> Array:
        """Return zeros, shape (Q,), in the backend's dtype."""
        return self._backend.xp.zeros(self.dimension, dtype=self._backend.dtype)

    def gradients(self, model: Array, subsets: HostInts, out: Array) -> None:
        """Write ∇f_k(model) for each named subset.

        Parameters
        ----------
        model : array, shape (Q,)
            The point x.
        subsets : ndarray of int64, shape (n,)
            Subset numbers, repetitions allowed.
        out : array, shape (n, Q)
            Receives the gradients; C-contiguous, in the backend's dtype.

        Raises
        ------
        IndexError
            A subset does not exist.
        ValueError
            ``out`` is of another shape, layout or dtype.

        Notes
        -----
        ∇f_k(x) = (1/m_k) Σ_j (⟨z_j, x⟩ − y_j) z_j. On the host, every sum is one BLAS
        call. Its operands have the same shape and layout for any number of rows, so row i
        has the same bits in every batch, given the same number of BLAS threads.
        """
        if subsets.size and (subsets.min() < 0 or subsets.max() >= self.num_subsets):
            raise IndexError(f"subset numbers must lie in 0…{self.num_subsets - 1}")
        shape = (len(subsets), self.dimension)
        if out.shape != shape or out.dtype != self._backend.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"out must be a C-contiguous {self._backend.dtype} array of shape {shape}"
            )
        x = self._backend.xp.ascontiguousarray(model, dtype=self._backend.dtype)
        # A run that diverges shows it in its values, not in warnings on every rank.
        with np.errstate(over="ignore", invalid="ignore"):
            self._write(x, subsets, out)

    def loss(self, model: Array) -> float:
        """Return F(model), accumulated in float64 for any dtype."""
        xp = self._backend.xp
        x = xp.asarray(model, dtype=np.float64)
        step = max(1, _LOSS_BLOCK // self.dimension)
        total = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, self.num_samples, step):
                rows = slice(start, start + step)
                features = self._features[rows].astype(np.float64, copy=False)
                residuals = features @ x - self._targets[rows]
                total += float(xp.dot(self._weights_there[rows], residuals * residuals))
        return total / 2

    def _single_samples(self, x: Array, subsets: HostInts, out: Array) -> None:
        np.take(self._features, subsets, axis=0, out=out, mode="clip")
        residuals = np.vecdot(out, x)
        residuals -= self._targets[subsets]
        np.multiply(out, residuals[:, None], out=out)

    def _one_by_one(self, x: Array, subsets: HostInts, out: Array) -> None:
        dot = self._backend.xp.dot
        for row, k in zip(out, subsets.tolist(), strict=True):
            start, stop = self._offsets[k], self._offsets[k + 1]
            features = self._features[start:stop]
            residuals = dot(features, x)
            residuals -= self._targets[start:stop]
            residuals /= stop - start
            dot(residuals, features, out=row)

    def _equal_sizes(self, x: Array, subsets: HostInts, out: Array) -> None:
        blocks = self._features.reshape(self.num_subsets, -1, self.dimension)
        targets = self._targets.reshape(self.num_subsets, -1)
        step = max(1, _GATHERED // int(blocks[0].size))
        for start in range(0, len(subsets), step):
            chosen = self._backend.xp.asarray(subsets[start : start + step])
            features = blocks[chosen]
            residuals = (features * x).sum(axis=2) - targets[chosen]
            features *= residuals[:, :, None]
            out[start : start + step] = features.mean(axis=1)


def _narrowed(values: HostFloats, backend: Backend) -> HostFloats:
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(values, dtype=backend.dtype)
    if not np.isfinite(narrow).all():
        raise DataError(
            f"the data hold numbers too large for {backend.dtype}",
            hint='rescale the data, or set backend.dtype = "float64"',
        )
    return narrow
