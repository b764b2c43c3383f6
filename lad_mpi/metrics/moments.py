"""Mean and spread of one vector per subset, summed along a fixed binary tree.

The tree has a leaf for each subset. Node j of level L covers the subsets j·2^L to
(j+1)·2^L − 1, as far as they exist. A rank computes the largest nodes that cover only its own
subsets, and the server combines these. So the bits of the result do not depend on the number of
ranks, and a rank sends at most 2 log₂ N nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lad_mpi.arrays import namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lad_mpi.types import Array

#: A node of the tree: its level and its number within the level.
Node: TypeAlias = tuple[int, int]

#: Numbers of the leaves that are computed at once.
_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of k groups of vectors.

    Parameters
    ----------
    counts : array of float64, shape (k, 1)
        Number of vectors in each group.
    means : array of float64, shape (k, Q)
        Their means.
    spreads : array of float64, shape (k, 1)
        Sums of their squared distances from the mean.
    sums : array of float64, shape (k, s)
        Sums of s further numbers.
    """

    counts: Array
    means: Array
    spreads: Array
    sums: Array

    @classmethod
    def of_rows(cls, rows: Array, sums: Array) -> Moments:
        """Return the moments of groups of one vector each.

        Parameters
        ----------
        rows : array, shape (k, Q)
            The vectors.
        sums : array, shape (k, s)
            The further numbers of each.
        """
        xp = namespace(rows)
        ones = xp.ones((len(rows), 1))
        return cls(ones, rows.astype(np.float64), 0 * ones, sums.astype(np.float64))

    @classmethod
    def from_table(cls, table: Array, dimension: int) -> Moments:
        """Return the moments that :meth:`table` wrote."""
        return cls(
            table[:, :1], table[:, 2 : 2 + dimension], table[:, 1:2], table[:, 2 + dimension :]
        )

    def table(self) -> Array:
        """Return all numbers, float64, shape (k, 2 + Q + s)."""
        xp = namespace(self.means)
        return xp.concatenate([self.counts, self.spreads, self.means, self.sums], axis=1)

    def in_pairs(self) -> Moments:
        """Combine the groups in pairs, 0 with 1, 2 with 3 and so on; an odd last one stays.

        Notes
        -----
        The formula of Chan, Golub and LeVeque, "Algorithms for computing the sample variance",
        1983. It squares differences, so nothing cancels.
        """
        if len(self.counts) == 1:
            return self
        even = 2 * (len(self.counts) // 2)
        first, second = self._rows(slice(0, even, 2)), self._rows(slice(1, even, 2))
        # A run that diverges is seen in its values, not in warnings.
        with np.errstate(over="ignore", invalid="ignore"):
            counts = first.counts + second.counts
            apart = second.means - first.means
            share = second.counts / counts
            squares = (apart * apart).sum(axis=1, keepdims=True)
            pairs = Moments(
                counts,
                first.means + apart * share,
                first.spreads + second.spreads + squares * (first.counts * share),
                first.sums + second.sums,
            )
        return pairs if even == len(self.counts) else joined(pairs, self._rows(slice(even, None)))

    def _rows(self, rows: slice) -> Moments:
        return Moments(self.counts[rows], self.means[rows], self.spreads[rows], self.sums[rows])


def joined(*parts: Moments) -> Moments:
    """Return all groups of several moments, in order."""
    xp = namespace(parts[0].means)
    return Moments(
        xp.concatenate([part.counts for part in parts]),
        xp.concatenate([part.means for part in parts]),
        xp.concatenate([part.spreads for part in parts]),
        xp.concatenate([part.sums for part in parts]),
    )


def own_nodes(first: int, stop: int, num_subsets: int) -> list[Node]:
    """Return the largest nodes that cover only the subsets of one rank, in order.

    Parameters
    ----------
    first, stop : int
        The subsets of the rank, ``range(first, stop)``.
    num_subsets : int
        N.

    Examples
    --------
    >>> own_nodes(0, 3, 8)
    [(1, 0), (0, 2)]
    >>> own_nodes(4, 5, 5)
    [(2, 1)]
    """
    nodes = []
    while first < stop:
        level = 0
        while (
            1 << level < num_subsets
            and first % (2 << level) == 0
            and min(first + (2 << level), num_subsets) <= stop
        ):
            level += 1
        nodes.append((level, first >> level))
        first += 1 << level
    return nodes


def node_moments(
    node: Node, num_subsets: int, leaves: Callable[[int, int], Moments], width: int
) -> Moments:
    """Return the moments of a node, from those of the subsets that it covers.

    Parameters
    ----------
    node : tuple of int
        Level and number.
    num_subsets : int
        N.
    leaves : callable
        Returns the moments of the subsets from its first argument to before its second, one
        group each.
    width : int
        Q. It bounds how many subsets are computed at once.
    """
    level, number = node
    first, stop = number << level, min((number + 1) << level, num_subsets)
    if level == 0 or (stop - first) * width <= _AT_ONCE:
        moments = leaves(first, stop)
        while len(moments.counts) > 1:
            moments = moments.in_pairs()
        return moments
    halves = [node_moments(half, num_subsets, leaves, width) for half in _halves(node, num_subsets)]
    return joined(*halves).in_pairs()


def root_moments(nodes: Mapping[Node, Moments], num_subsets: int) -> Moments:
    """Combine the nodes of all ranks into the moments of all subsets.

    Parameters
    ----------
    nodes : mapping of tuple to Moments
        The nodes of all ranks, as :func:`own_nodes` names them.
    num_subsets : int
        N.
    """

    def combined(node: Node) -> Moments:
        if node in nodes:
            return nodes[node]
        return joined(*map(combined, _halves(node, num_subsets))).in_pairs()

    return combined((max(0, (num_subsets - 1).bit_length()), 0))


def _halves(node: Node, num_subsets: int) -> list[Node]:
    level, number = node[0] - 1, 2 * node[1]
    return [(level, half) for half in (number, number + 1) if half << level < num_subsets]
