import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.data.partition import NUM_BINS, partition
from lad_mpi.rng import Streams

KINDS = ("shuffled", "sorted", "dirichlet")


def targets_of(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 120),
    fraction=st.floats(0, 1),
    concentration=st.sampled_from([1e-300, 1e-6, 0.1, 1.0, 100.0, 1e300]),
    distinct=st.sampled_from([1, 2, 1000]),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_sample_lands_in_one_subset_and_no_subset_is_empty(
    *, kind, n, fraction, concentration, distinct, seed
):
    num_subsets = max(1, round(fraction * n))
    targets = np.random.default_rng(n).integers(0, distinct, n).astype(float)
    split = partition(targets, num_subsets, Streams(seed), kind=kind, concentration=concentration)
    sizes = np.diff(split.offsets)
    np.testing.assert_array_equal(np.sort(split.order), np.arange(n))
    assert split.order.dtype == split.offsets.dtype == np.int64
    assert (split.offsets[0], split.offsets[-1], len(sizes)) == (0, n, num_subsets)
    assert sizes.min() >= 1
    if kind != "dirichlet":
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_and_nothing_else_decides(kind):
    targets = targets_of(90)
    first, again, other = (partition(targets, 7, Streams(s), kind=kind) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.order, again.order)
    np.testing.assert_array_equal(first.offsets, again.offsets)
    assert np.array_equal(first.order, other.order) == (kind == "sorted")


def test_sorted_is_by_target():
    targets = targets_of(50)
    split = partition(targets, 6, Streams(1), kind="sorted")
    assert (np.diff(targets[split.order]) >= 0).all()


def between_share(targets, split):
    means = [part.mean() for part in np.split(targets[split.order], split.offsets[1:-1])]
    sizes = np.diff(split.offsets)
    return np.average((means - targets.mean()) ** 2, weights=sizes) / targets.var()


def test_heterogeneity_grows_as_it_should():
    targets = targets_of(4000)
    shares = [
        between_share(targets, partition(targets, 10, Streams(3), kind=kind, concentration=c))
        for kind, c in (
            ("shuffled", 1.0),
            ("dirichlet", 1.0),
            ("dirichlet", 0.05),
            ("sorted", 1.0),
        )
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.02
    assert shares[-1] > 0.9


def test_dirichlet_splits_each_bin_in_its_drawn_proportions():
    n, num_subsets = 5000, 4
    targets = targets_of(n)
    split = partition(targets, num_subsets, Streams(8), kind="dirichlet", concentration=1e6)
    owners = np.empty(n, dtype=int)
    owners[split.order] = np.repeat(np.arange(num_subsets), np.diff(split.offsets))
    bins = np.argsort(np.argsort(targets)) * NUM_BINS // n
    counts = np.zeros((NUM_BINS, num_subsets))
    np.add.at(counts, (bins, owners), 1)
    np.testing.assert_allclose(counts, n / NUM_BINS / num_subsets, rtol=0.05)


def test_equal_targets_share_a_label():
    targets = np.repeat([0.0, 1.0], 200)
    split = partition(targets, 2, Streams(1), kind="dirichlet", concentration=1e-6)
    parts = np.split(targets[split.order], split.offsets[1:-1])
    # A label goes almost whole to one subset; one sample may fill an empty subset.
    assert all(min(np.sum(part == 0), np.sum(part == 1)) in (0, 1, 199, 200) for part in parts)


def test_empty_subsets_take_from_the_largest():
    split = partition(np.zeros(20), 5, Streams(1), kind="dirichlet", concentration=1e-300)
    np.testing.assert_array_equal(np.sort(np.diff(split.offsets)), [1, 1, 1, 1, 16])
