"""Which rows to exchange so that every value reaches the band of ranks it belongs to.

A sorting network is a fixed list of exchanges: no branch depends on data, so a
processor runs one network on as many columns as its vectors have lanes. On a
host rows are taken in blocks of four, which fit in registers: each block
is sorted, and then a network for blocks follows in which "exchange" means to
merge two sorted blocks and split them in a low and a high one. A thread of a
GPU has registers for a whole column, and exchanges single rows.

A rule seldom needs all ranks in order. The trimmed mean only needs to know
which values lie in the middle, so exchanges within a band are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Sequence
    from typing import TypeAlias

    from lad_mpi.types import HostInts

    Exchange: TypeAlias = tuple[int, int]

#: Rows in a block: two blocks of vectors fit in sixteen registers.
BLOCK_ROWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class SortingNetwork:
    """Exchanges that bring the rows of a column into bands of ranks.

    Parameters
    ----------
    num_blocks : int
        Blocks of four rows to sort first, the last of them filled up with +∞;
        0 where all rows are in one band.
    merges : ndarray of int64, shape (m, 2)
        Blocks to merge and split, in this order; both stay sorted.
    splits : ndarray of int64, shape (s, 2)
        Blocks to split afterwards, in any order; neither is sorted then.
    """

    num_blocks: int
    merges: HostInts
    splits: HostInts


@lru_cache(maxsize=64)
def band_network(num_rows: int, cuts: tuple[int, ...]) -> SortingNetwork:
    """Return the network that separates ranks at the cuts, in no order between two cuts.

    Parameters
    ----------
    num_rows : int
        n.
    cuts : tuple of int, ascending, within 0 … n
        Ranks at which a band ends and the next begins; a rank whose exact
        place matters is a band of its own.

    Notes
    -----
    Backwards from its end, an exchange of two blocks that end in the same band
    is superfluous, and one after which both blocks rest needs no order inside.
    """
    inner = [cut for cut in cuts if 0 < cut < num_rows]
    if not inner:
        return SortingNetwork(0, _pairs([]), _pairs([]))
    num_blocks = -(-num_rows // BLOCK_ROWS)
    # What fills up the last block has to end beyond all rows.
    inner.append(num_rows)
    ends: list[Hashable] = []
    for block in range(num_blocks):
        # Where both ends of a block lie in one band, so does all of it.
        ranks = (block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS - 1)
        low, high = (sum(cut <= rank for cut in inner) for rank in ranks)
        ends.append(low if low == high else ("mixed", block))
    merges: list[Exchange] = []
    splits: list[Exchange] = []
    for step, resting in needed(list(merge_exchange(num_blocks)), ends):
        pure = all(isinstance(end, int) for end in resting)
        (splits if pure else merges).append(step)
    return SortingNetwork(num_blocks, _pairs(merges), _pairs(splits))


def band_exchanges(num_rows: int, cuts: Collection[int]) -> list[Exchange]:
    """Return the exchanges of single rows that separate ranks at the cuts.

    Parameters
    ----------
    num_rows : int
        n.
    cuts : collection of int
        Ranks at which a band ends and the next begins.
    """
    return _without_superfluous(list(merge_exchange(num_rows)), num_rows, cuts)


def bitonic_band_exchanges(num_rows: int, cuts: Collection[int]) -> list[Exchange]:
    """Do as :func:`band_exchanges` for rows that first ascend, then descend."""
    return _without_superfluous(list(bitonic_merge(num_rows)), num_rows, cuts)


def needed(
    steps: Sequence[Exchange], bands: Sequence[Hashable]
) -> list[tuple[Exchange, tuple[Hashable, Hashable]]]:
    """Leave out the exchanges of a network between wires that end in the same band.

    Parameters
    ----------
    steps : sequence of (int, int)
        A network that brings the lower value to the first wire of each exchange.
    bands : sequence
        What each wire ends in; wires with equal entries may end in any order.

    Returns
    -------
    list of (exchange, (band, band))
        With the bands that the two wires rest in from then on, None for a wire
        that takes part in a later exchange.
    """
    resting: list[Hashable] = list(bands)
    kept = []
    for low, high in reversed(steps):
        ends = (resting[low], resting[high])
        if ends[0] is not None and ends[0] == ends[1]:
            continue
        kept.append(((low, high), ends))
        resting[low] = resting[high] = None
    return kept[::-1]


def merge_exchange(num_wires: int) -> Iterator[Exchange]:
    """Yield Batcher's merge-exchange sorting network, for any number of wires.

    References
    ----------
    Knuth, The Art of Computer Programming, vol. 3, section 5.2.2, algorithm M.
    """
    top = 1 << max(0, (num_wires - 1).bit_length() - 1)
    p = top
    while p > 0 and num_wires > 1:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(num_wires - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def bitonic_merge(num_wires: int) -> Iterator[Exchange]:
    """Yield the network that sorts values which first ascend, then descend.

    References
    ----------
    Knuth, The Art of Computer Programming, vol. 3, section 5.3.4.
    """
    distance = 1 << max(0, (num_wires - 1).bit_length())
    # Up to a power of two, wires that hold −∞ are thought of before the others: none moves.
    missing = distance - num_wires
    while distance := distance >> 1:
        for wire in range(num_wires - distance):
            if not (wire + missing) & distance:
                yield wire, wire + distance


def _without_superfluous(
    steps: Sequence[Exchange], num_rows: int, cuts: Collection[int]
) -> list[Exchange]:
    bands = [sum(cut <= rank for cut in cuts) for rank in range(num_rows)]
    return [step for step, _ in needed(steps, bands)]


def _pairs(steps: Sequence[Exchange]) -> HostInts:
    return np.array(steps, dtype=np.int64).reshape(-1, 2)
