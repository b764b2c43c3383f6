"""Mixtures of rows: one product with the messages, whole or some columns at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation.rows import Rows, blocks_of, is_small, sums_compiled
from lad_mpi.arrays import namespace
from lad_mpi.columns import (
    block_width,
    column_blocks,
    new_block,
    over_columns,
    serial_linear_algebra,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.types import Array, HostFloats


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    r"""Weighted sums of rows, which are exact if all rows with weight equal the origin.

    Parameters
    ----------
    rows : Rows
        x_1 … x_n.
    origin : array, shape (Q,), optional
        c, for instance a row; None for zero.
    weights : ndarray of float64, shape (n,) or (m, n)
        w. The origin gets the weight that is missing to a sum of one.

    Notes
    -----
    .. math:: c + \sum_j w_j (x_j - c).
    """

    rows: Rows
    origin: Array | None
    weights: HostFloats

    def whole(self) -> Array:
        """Return the mixture, array, shape (Q,) or (m, Q), of the messages' library and dtype."""
        messages = self.rows.messages
        if self.weights.ndim == 1 and self.rows.headroom == 1.0:
            if sums_compiled(messages):
                from lad_mpi.aggregation import kernels_rows  # noqa: PLC0415  (imports Numba)

                return kernels_rows.mix(messages, self.origin, self.weights)
            if is_small(messages):
                return self._at_once()
        shape = (*self.weights.shape[:-1], messages.shape[1])
        mixed = namespace(messages).empty(shape, dtype=messages.dtype)
        mix = self._filler()
        self._over_columns(lambda columns: mix(columns, mixed[..., columns]))
        return mixed

    def _at_once(self) -> Array:
        """Mix all columns of a small host array."""
        rows, origin = self.rows, self.origin
        weights = self.weights.astype(rows.dtype, copy=False)
        with serial_linear_algebra(rows.messages), np.errstate(all="ignore"):
            mixed = weights @ rows.minus(origin)
            if origin is not None:
                mixed += origin
        return mixed.astype(rows.messages.dtype, copy=False)

    def reduce(self, rule: Callable[[Array], Array]) -> Array:
        """Apply a function of separate columns to the mixture, block by block.

        Parameters
        ----------
        rule : callable
            Maps an array of shape (m, q), for some q columns, to shape (q,).

        Returns
        -------
        array, shape (Q,), of the messages' library and dtype
            The bits of ``rule(self.whole())`` if that is finite. It needs memory for one
            block a thread.
        """
        messages = self.rows.messages
        xp = namespace(messages)
        result = xp.empty(messages.shape[1], dtype=messages.dtype)
        mix = self._filler()
        width = min(block_width(messages), messages.shape[1])

        def mix_and_reduce(columns: slice) -> None:
            scratch = new_block(len(self.weights), width, messages, messages.dtype)
            for part in column_blocks(messages, columns):
                mixed = scratch[:, : part.stop - part.start]
                mix(part, mixed)
                result[part] = rule(mixed)

        self._over_columns(mix_and_reduce)
        return result

    def _over_columns(self, work: Callable[[slice], None]) -> None:
        num_products = self.weights.size // len(self.rows.messages)
        for _ in over_columns(self.rows.messages, work, num_products=num_products):
            pass

    def _filler(self) -> Callable[[slice, Array], None]:
        """Return a function that mixes a range of columns into an array of as many."""
        rows, origin = self.rows, self.origin
        messages, headroom, dtype = rows.messages, rows.headroom, rows.dtype
        xp = namespace(messages)
        factors = None if headroom == 1.0 else np.full(len(messages), headroom)
        mixing = xp.asarray(self.weights, dtype=dtype)

        def mix(columns: slice, mixed: Array) -> None:
            for part, block in blocks_of(messages, columns, origin, factors, dtype):
                target = mixed[..., part.start - columns.start : part.stop - columns.start]
                if xp is np and dtype == mixed.dtype:
                    product = np.matmul(mixing, block, out=target)
                else:
                    product = mixing @ block
                if origin is not None:
                    product += (headroom * origin[part]).astype(dtype)
                if headroom != 1.0:
                    product /= headroom
                if product is not target:
                    target[...] = product

        return mix
