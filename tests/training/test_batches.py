"""Batches: uniform samples of each subset, keyed by seed, iteration and subset."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from lad_mpi.rng import Streams
from lad_mpi.training.batches import Batches


def offsets_of(sizes):
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def drawn(batches, subset, iteration):
    """Return the samples of a subset that have a weight, and all their weights."""
    batch = batches.of(iteration)
    chosen = np.array([[subset]])
    samples, scales = batch.samples(chosen, np.ones((1, 1)), int(batch.sizes(chosen)[0]))
    assert samples.dtype == np.int64
    return samples[0][scales[0] != 0], scales[0][scales[0] != 0]


@pytest.mark.parametrize(("n", "b"), [(4, 1), (5, 2), (5, 4), (6, 3)])
def test_every_batch_of_a_subset_is_equally_likely(n, b):
    num_subsets, iterations = 300, 40
    batches = Batches(offsets_of([n] * num_subsets), b, Streams(7))
    counts = Counter()
    for iteration in range(iterations):
        for subset in range(num_subsets):
            samples, _ = drawn(batches, subset, iteration)
            counts[frozenset((samples - n * subset).tolist())] += 1
    possible = [frozenset(batch) for batch in combinations(range(n), b)]
    assert set(counts) == set(possible)
    expected = num_subsets * iterations / len(possible)
    chi_squared = sum((counts[batch] - expected) ** 2 / expected for batch in possible)
    freedom = len(possible) - 1
    # Four standard deviations above the mean of the distribution.
    assert chi_squared < freedom + 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("sizes", [[9] * 5, [9, 8, 9, 8, 9], [1, 30, 3, 9, 2]])
@pytest.mark.parametrize("b", [1, 3, 8, 100])
def test_batches_are_distinct_samples_of_their_subset_with_equal_weights(sizes, b):
    offsets = offsets_of(sizes)
    batches = Batches(offsets, b, Streams(1))
    for iteration in range(5):
        for subset, size in enumerate(sizes):
            samples, scales = drawn(batches, subset, iteration)
            assert len(samples) == len(set(samples.tolist())) == min(size, b)
            assert (offsets[subset] <= samples).all()
            assert (samples < offsets[subset + 1]).all()
            np.testing.assert_array_equal(scales, 1 / min(size, b))


def test_a_batch_depends_on_nothing_but_seed_iteration_and_subset():
    """The number and the sizes of the other subsets, and earlier draws, do not matter."""
    few, many = [4, 9, 20], [11, 2, 20, 5, 40, 1, 7]
    one, two = Batches(offsets_of(few), 4, Streams(3)), Batches(offsets_of(many), 4, Streams(3))
    for iteration in (6, 0, 6):
        samples, _ = drawn(one, 2, iteration)
        others, _ = drawn(two, 2, iteration)
        np.testing.assert_array_equal(samples - offsets_of(few)[2], others - offsets_of(many)[2])


@pytest.mark.parametrize(
    ("seed", "iteration", "subset"), [(4, 6, 2), (3, 7, 2), (3, 6, 1)], ids=str
)
def test_another_seed_iteration_or_subset_has_another_batch(seed, iteration, subset):
    def batch(seed, iteration, subset):
        batches = Batches(offsets_of([1000] * 4), 10, Streams(seed))
        return set((drawn(batches, subset, iteration)[0] - 1000 * subset).tolist())

    assert batch(3, 6, 2) == batch(3, 6, 2) != batch(seed, iteration, subset)


@pytest.mark.parametrize("size", [None, 9, 100])
def test_without_smaller_batches_all_samples_are_used_in_every_iteration(size):
    batches = Batches(offsets_of([4, 9, 1]), size, Streams(1))
    assert not batches.are_drawn
    assert batches.of(3) is batches.of(None)
    np.testing.assert_array_equal(drawn(batches, 1, 3)[0], np.arange(4, 13))


def test_evaluation_uses_all_samples():
    batches = Batches(offsets_of([4, 9]), 2, Streams(1))
    assert batches.are_drawn
    np.testing.assert_array_equal(drawn(batches, 1, None)[0], np.arange(4, 13))


@pytest.mark.parametrize("sizes", [[3, 3, 3], [4, 5, 5], [1, 7, 3]])
def test_rows_of_several_subsets_join_their_samples_and_weights(sizes):
    """Weights of a subset add up to the weight in the code, and -1 adds nothing."""
    offsets = offsets_of(sizes)
    batch = Batches(offsets, None, Streams(1)).of(None)
    subsets = np.array([[0, 1, 2], [2, 0, -1], [1, -1, -1]])
    weights = np.array([[0.5, -2.0, 1.0], [3.0, 0.25, np.nan], [-1.0, np.nan, np.nan]])
    for row, size in enumerate(batch.sizes(subsets)):
        rows = slice(row, row + 1)
        samples, scales = batch.samples(subsets[rows], weights[rows], int(size))
        assert samples.shape == scales.shape == (1, size)
        dense = np.zeros(offsets[-1])
        np.add.at(dense, samples[0], scales[0])
        expected = np.zeros(offsets[-1])
        for subset, weight in zip(subsets[row], weights[row], strict=True):
            if subset >= 0:
                expected[offsets[subset] : offsets[subset + 1]] = weight / sizes[subset]
        np.testing.assert_allclose(dense, expected, rtol=1e-15)


@pytest.mark.parametrize("order", [[[3], [0, 3], [5]], [[0, 1, 2, 3, 4, 5]], [[5, -1], [0, 3]]])
def test_only_what_is_needed_is_drawn_and_has_the_same_samples(order):
    offsets = np.array([0, 5, 9, 20, 27, 30, 41])
    whole = Batches(offsets, 4, Streams(3)).of(7)
    batches = Batches(offsets, 4, Streams(3))
    for subsets in map(np.array, order):
        batch = batches.of(7, subsets)
        for k in subsets[subsets >= 0]:
            one, weight = np.array([[k]]), np.ones((1, 1))
            size = int(batch.sizes(one)[0])
            np.testing.assert_array_equal(
                batch.samples(one, weight, size)[0], whole.samples(one, weight, size)[0]
            )
