"""Mean and spread along a fixed tree: the values of NumPy, and the same bits however it is cut."""

from itertools import pairwise

import numpy as np
import pytest

from lad_mpi.metrics import moments as module
from lad_mpi.metrics.moments import Moments, node_moments, own_nodes, root_moments

COUNTS = [1, 2, 3, 5, 7, 8, 13, 100]


def random_rows(count, width=11, seed=0):
    return np.random.default_rng([count, seed]).normal(size=(count, width))


def on_ranks(rows, sums, bounds):
    """Compute the moments of all rows as ranks with these blocks do, tables included."""
    count, width = rows.shape

    def leaves(first, stop):
        return Moments.of_rows(rows[first:stop], sums[first:stop])

    nodes = {}
    for first, stop in pairwise(bounds):
        for node in own_nodes(first, stop, count):
            found = node_moments(node, count, leaves, width)
            nodes[node] = Moments.from_table(found.table().copy(), width)
    return root_moments(nodes, count)


def cuts(count):
    """Yield blocks of 1 … N ranks, even and uneven."""
    rng = np.random.default_rng(count)
    yield [0, count]
    for ranks in range(2, count + 1):
        yield (np.arange(ranks + 1) * count // ranks).tolist()
        if ranks < 12:
            inner = rng.choice(np.arange(1, count), ranks - 1, replace=False)
            yield [0, *sorted(inner.tolist()), count]


@pytest.mark.parametrize("count", COUNTS)
def test_the_tree_gives_mean_spread_and_sums(count):
    rows, sums = random_rows(count), random_rows(count, 2, seed=1)
    found = on_ranks(rows, sums, [0, count])
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(found.means[0], mean, rtol=1e-12, atol=1e-15)
    assert found.spreads[0, 0] == pytest.approx(((rows - mean) ** 2).sum(), rel=1e-12)
    np.testing.assert_allclose(found.sums[0], sums.sum(axis=0), rtol=1e-12)
    assert found.counts.tolist() == [[count]]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("at_once", [1, 40, 2**20])
def test_the_bits_do_not_depend_on_the_ranks(count, at_once, monkeypatch):
    rows, sums = random_rows(count), random_rows(count, 2, seed=1)
    whole = on_ranks(rows, sums, [0, count]).table().tobytes()
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    for bounds in cuts(count):
        assert on_ranks(rows, sums, bounds).table().tobytes() == whole, bounds


@pytest.mark.parametrize("count", COUNTS)
def test_ranks_have_disjoint_nodes_that_cover_their_subsets(count):
    for bounds in cuts(count):
        for first, stop in pairwise(bounds):
            nodes = own_nodes(first, stop, count)
            covered = [
                subset
                for level, number in nodes
                for subset in range(number << level, min((number + 1) << level, count))
            ]
            assert covered == list(range(first, stop))
            assert len(nodes) <= 2 * max(1, count.bit_length())


def test_a_large_mean_cancels_nothing():
    rows = np.random.default_rng(0).integers(-8, 8, (64, 30)).astype(float)
    none = np.empty((64, 0))
    spread = on_ranks(rows, none, [0, 64]).spreads[0, 0]
    shifted = on_ranks(rows + 2.0**30, none, [0, 64]).spreads[0, 0]
    assert shifted == pytest.approx(spread, rel=1e-9)


def test_float32_is_accumulated_in_float64():
    rows = random_rows(50).astype(np.float32)
    none = np.empty((50, 0))
    narrow, wide = (on_ranks(values, none, [0, 50]) for values in (rows, rows.astype(float)))
    assert narrow.table().tobytes() == wide.table().tobytes()


def test_a_diverged_run_gives_infinity_and_no_warning():
    huge = np.array([[1e308], [-1e308], [1e308]])
    found = on_ranks(huge, np.empty((3, 0)), [0, 3])
    assert not np.isfinite(found.spreads[0, 0])
