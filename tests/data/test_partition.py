import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.data.partition import NUM_BINS, partition
from lad_mpi.rng import Streams

KINDS = ("shuffled", "sorted", "dirichlet", "similarity")


def targets_of(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 120),
    fraction=st.floats(0, 1),
    concentration=st.sampled_from([1e-300, 1e-6, 0.1, 1.0, 100.0, 1e300]),
    similarity=st.floats(0, 1),
    distinct=st.sampled_from([1, 2, 1000]),
    has_classes=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_sample_lands_in_one_subset_and_no_subset_is_empty(
    *, kind, n, fraction, concentration, similarity, distinct, has_classes, seed
):
    num_subsets = max(1, round(fraction * n))
    targets = np.random.default_rng(n).integers(0, distinct, n)
    split = partition(
        targets if has_classes else targets.astype(float),
        num_subsets,
        Streams(seed),
        kind=kind,
        concentration=concentration,
        similarity=similarity,
        num_classes=distinct if has_classes else 0,
    )
    sizes = np.diff(split.offsets)
    np.testing.assert_array_equal(np.sort(split.order), np.arange(n))
    assert split.order.dtype == split.offsets.dtype == np.int64
    assert (split.offsets[0], split.offsets[-1], len(sizes)) == (0, n, num_subsets)
    assert sizes.min() >= 1
    if kind != "dirichlet":
        assert sizes.max() - sizes.min() <= (2 if kind == "similarity" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_and_nothing_else_decides(kind):
    targets = targets_of(90)
    first, again, other = (
        partition(targets, 7, Streams(s), kind=kind, similarity=0.5) for s in (1, 1, 2)
    )
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


def test_dirichlet_splits_each_class_in_its_drawn_proportions():
    labels = np.repeat(np.arange(12), [400, 30] * 6)
    split = partition(labels, 4, Streams(8), kind="dirichlet", concentration=1e6, num_classes=12)
    counts = [
        np.bincount(part, minlength=12)
        for part in np.split(labels[split.order], split.offsets[1:-1])
    ]
    # Bins of equal frequency would join the small classes with large ones.
    np.testing.assert_allclose(counts, np.tile(np.bincount(labels) / 4, (4, 1)), atol=1.5)
    few = partition(labels, 4, Streams(8), kind="dirichlet", concentration=1e-6, num_classes=12)
    owners = np.empty(len(labels), dtype=int)
    owners[few.order] = np.repeat(np.arange(4), np.diff(few.offsets))
    assert all(len(set(owners[labels == label])) <= 2 for label in range(12))


def test_a_class_may_have_no_samples():
    labels = np.repeat([0, 2], 20)
    split = partition(labels, 3, Streams(1), kind="dirichlet", num_classes=4)
    np.testing.assert_array_equal(np.sort(split.order), np.arange(40))


@pytest.mark.parametrize("num_subsets", [7, 10])
def test_no_similarity_is_sorted(num_subsets):
    targets = targets_of(90)
    alike, by_target = (
        partition(targets, num_subsets, Streams(1), kind=kind, similarity=0.0)
        for kind in ("similarity", "sorted")
    )
    np.testing.assert_array_equal(alike.offsets, by_target.offsets)
    for k in range(num_subsets):
        rows = slice(*alike.offsets[k : k + 2])
        assert set(alike.order[rows]) == set(by_target.order[rows])


@pytest.mark.parametrize("similarity", [0.0, 0.25, 0.5, 1.0])
def test_similarity_is_the_share_that_is_split_at_random(similarity):
    n, num_subsets = 4000, 10
    labels = np.repeat(np.arange(10), n // 10)
    split = partition(labels, num_subsets, Streams(2), kind="similarity", similarity=similarity)
    np.testing.assert_array_equal(np.diff(split.offsets), n // num_subsets)
    parts = np.split(labels[split.order], split.offsets[1:-1])
    main = np.mean([np.bincount(part).max() / len(part) for part in parts])
    # Sorted samples of a subset share its label, and a tenth of the random ones has it.
    assert main == pytest.approx((1 - similarity) + similarity / 10, abs=0.05)
    sorted_part = [np.bincount(part, minlength=10).argmax() for part in parts]
    if similarity < 1:
        assert sorted_part == list(range(10))


def test_empty_subsets_take_from_the_largest():
    split = partition(np.zeros(20), 5, Streams(1), kind="dirichlet", concentration=1e-300)
    np.testing.assert_array_equal(np.sort(np.diff(split.offsets)), [1, 1, 1, 1, 16])
