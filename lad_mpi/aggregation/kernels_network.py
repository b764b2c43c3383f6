"""Which rows to exchange so that every value reaches the band of ranks it belongs to.

A sorting network is a fixed list of exchanges: no branch depends on data, so a
processor runs one network on as many columns as its vectors have lanes. Rows
are taken in blocks of four, which a processor keeps in registers: each block
is sorted, and then a network for blocks follows in which "exchange" means to
merge two sorted blocks and split them in a low and a high one.

A rule seldom needs all ranks in order. The trimmed mean only needs to know
which values lie in the middle, so exchanges within a band are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from lad_mpi.types import HostInts

#: Rows in a block: two blocks of vectors fit in sixteen registers.
BLOCK = 4


@dataclass(frozen=True, slots=True, eq=False)
class Network:
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
def band_network(num_rows: int, cuts: tuple[int, ...]) -> Network:
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
        return Network(0, _pairs([]), _pairs([]))
    num_blocks = -(-num_rows // BLOCK)
    # What fills up the last block has to end beyond all rows.
    inner.append(num_rows)
    resting: list[Hashable] = []
    for block in range(num_blocks):
        # Where both ends of a block lie in one band, so does all of it.
        ranks = (block * BLOCK, (block + 1) * BLOCK - 1)
        low, high = (sum(cut <= rank for cut in inner) for rank in ranks)
        resting.append(low if low == high else ("mixed", block))
    merges: list[tuple[int, int]] = []
    splits: list[tuple[int, int]] = []
    for step in reversed(list(merge_exchange(num_blocks))):
        low_end, high_end = (resting[block] for block in step)
        if low_end is not None and low_end == high_end:
            continue
        if isinstance(low_end, int) and isinstance(high_end, int):
            splits.append(step)
        else:
            merges.append(step)
        for block in step:
            resting[block] = None
    return Network(num_blocks, _pairs(merges[::-1]), _pairs(splits))


def merge_exchange(num_wires: int) -> Iterator[tuple[int, int]]:
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


def _pairs(steps: Sequence[tuple[int, int]]) -> HostInts:
    return np.array(steps, dtype=np.int64).reshape(-1, 2)
