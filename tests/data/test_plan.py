"""From samples to subsets: classes, tests, standardization, and what is refused."""

import tracemalloc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi.data import (
    DataPlan,
    Diabetes,
    Digits,
    File,
    Samples,
    Synthetic,
    SyntheticClassification,
    make_samples,
)
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.rng import Streams
from lad_mpi.types import SampleForm

RNG = np.random.default_rng(0)
TABLE = RNG.normal(5, [1, 10, 100], (60, 3))
NUMBERS = TABLE @ [1, 2, 3] + RNG.normal(size=60)
LABELS = np.array(["a", "b", "c"])[np.arange(60) % 3]


@dataclass(frozen=True, eq=False)
class Given:
    """Samples of a test."""

    samples: Samples
    test: Samples | None = None

    kind: ClassVar[str] = "given"

    def read(self):
        return self.samples, self.test

    def digest(self):
        return self.samples.digest


def given(features=TABLE, targets=NUMBERS, test=None):
    one = make_samples(features.copy(), targets, ["given"])
    return Given(one, None if test is None else make_samples(*test, ["tests"]))


def load(source, num_subsets=5, seed=1, *, task="regression", has_bias=True, **keys):
    return DataPlan(source, **keys).load(num_subsets, Streams(seed), task=task, has_bias=has_bias)


def rows(*pairs):
    """Return samples as a sorted list, whatever their order was."""
    return sorted(
        (*map(float, z), y)
        for features, targets in pairs
        for z, y in zip(features, targets.tolist(), strict=True)
    )


@pytest.mark.parametrize("partition", ["shuffled", "sorted", "dirichlet", "similarity"])
@pytest.mark.parametrize("test_fraction", [0, 0.3])
def test_every_sample_is_kept_once(partition, test_fraction):
    keys = {"similarity": 0.5} if partition == "similarity" else {}
    data = load(
        given(), partition=partition, test_fraction=test_fraction, standardize=False, **keys
    )
    found = rows((data.features, data.targets), (data.test_features, data.test_targets))
    assert found == rows((TABLE, NUMBERS))
    assert len(data.test_targets) == 60 * test_fraction
    assert data.form == SampleForm((3,))
    assert data.num_subsets == 5


def test_classes_are_numbered_in_sorted_order():
    data = load(given(targets=LABELS), task="classification", standardize=False, test_fraction=0)
    assert data.classes == ("a", "b", "c")
    assert data.form == SampleForm((3,), 3)
    names = np.array(data.classes)[data.targets]
    assert rows((data.features, names)) == rows((TABLE, LABELS))
    assert data.targets.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0, 1, 2], ("0", "1", "2")),
        ([7, 3, -1], ("-1", "3", "7")),
        ([0.5, -1.5, 2.0], ("-1.5", "0.5", "2")),
        ([10.0, 9.0, 1e20], ("9", "10", "100000000000000000000")),
    ],
)
def test_any_numbers_may_be_labels(values, names):
    targets = np.array(values, dtype=float)[np.arange(60) % 3]
    data = load(given(targets=targets), task="classification")
    assert data.classes == names
    assert set(data.targets) | set(data.test_targets) == {0, 1, 2}


def test_a_subset_may_lack_classes():
    data = load(given(targets=LABELS), 12, task="classification", partition="sorted")
    parts = np.split(data.targets, data.offsets[1:-1])
    assert max(len(set(part)) for part in parts) <= 2
    assert data.form.num_classes == 3


@pytest.mark.parametrize(
    ("targets", "words", "hint"),
    [
        (np.full(60, 3.0), "all 60 samples have the same label, '3'", "two classes"),
        (np.full(60, "x"), "all 60 samples have the same label, 'x'", "two classes"),
        (NUMBERS, "60 different values in 60 samples", "linear_regression"),
        (np.arange(60.0), "60 different values in 60 samples", "linear_regression"),
        (np.arange(60.0) % 21, "21 different values in 60 samples", "linear_regression"),
        (np.arange(60) % 31 / 2, "31 different values in 60 samples", "linear_regression"),
    ],
)
def test_targets_that_are_no_classes(targets, words, hint):
    with pytest.raises(DataError) as caught:
        load(given(targets=targets), task="classification")
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_many_classes_are_classes():
    numbers = np.arange(60.0) % 20
    assert load(given(targets=numbers), task="classification").form.num_classes == 20
    words = np.array([f"w{i:02}" for i in range(60)])
    assert load(given(targets=words), task="classification").form.num_classes == 60


def test_words_are_no_targets_of_a_regression():
    for source in (given(targets=LABELS), given(test=(TABLE[:4], LABELS[:4]))):
        with pytest.raises(DataError, match="the targets are labels, such as 'a'") as caught:
            load(source)
        assert "[model]" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "task"), [(Synthetic(), "classification"), (SyntheticClassification(), "regression")]
)
def test_drawn_data_that_do_not_fit_the_model(source, task):
    with pytest.raises(DataError, match=f"{source.kind!r} is for .*, and the model is for {task}"):
        load(source, task=task)
    with pytest.raises(DataError, match="in \\[model\\]"):
        DataPlan(source).form(task)


def test_tests_are_a_random_share_for_each_seed():
    one, again, other = (load(given(), seed=seed, test_fraction=0.25) for seed in (1, 1, 2))
    assert len(one.test_targets) == 15
    np.testing.assert_array_equal(one.test_targets, again.test_targets)
    assert set(one.test_targets) != set(other.test_targets)


@pytest.mark.parametrize("partition", ["shuffled", "sorted"])
@pytest.mark.parametrize("num_subsets", [3, 20])
def test_tests_do_not_depend_on_the_split(partition, num_subsets):
    plain = load(given(), test_fraction=0.25)
    other = load(given(), num_subsets, test_fraction=0.25, partition=partition)
    np.testing.assert_array_equal(plain.test_targets, other.test_targets)


@pytest.mark.parametrize(
    ("task", "fraction", "count"),
    [
        ("regression", None, 0),
        ("classification", None, 12),
        ("classification", 0, 0),
        ("regression", 0.001, 1),
    ],
)
def test_how_many_samples_are_kept_for_tests(task, fraction, count):
    targets = LABELS if task == "classification" else NUMBERS
    data = load(given(targets=targets), task=task, test_fraction=fraction)
    assert len(data.test_targets) == len(data.test_features) == count
    assert data.reading.endswith(f"{count or 'no'} test samples")


def test_samples_for_testing_of_their_own():
    test = (TABLE[:4] + 1, LABELS[1:5])
    data = load(
        given(targets=LABELS, test=test), task="classification", standardize=False, has_bias=True
    )
    assert len(data.targets) == 60
    np.testing.assert_array_equal(data.test_features, test[0])
    np.testing.assert_array_equal(data.test_targets, [1, 2, 0, 1])
    with pytest.raises(DataError, match="test_fraction has no effect"):
        load(given(test=(TABLE[:4], NUMBERS[:4])), test_fraction=0.2)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ((TABLE[:4, :2], LABELS[:4]), r"features of shape \(2,\), and .* shape \(3,\)"),
        ((TABLE[:2], np.array(["a", "z"])), "have the label 'z', which no training sample has"),
        ((TABLE[:2], np.array([0.0, 1.0])), "have the label '0', which no training sample has"),
    ],
)
def test_tests_that_do_not_fit(test, words):
    with pytest.raises(DataError, match=words):
        load(given(targets=LABELS, test=test), task="classification")


def test_a_number_is_not_the_text_of_it():
    source = given(targets=np.char.add(LABELS, ".0"), test=(TABLE[:2], np.array([1.0, 2.0])))
    words = given(targets=np.arange(60.0) % 3, test=(TABLE[:2], np.array(["1.0", "2.0"])))
    for each in (source, words):
        with pytest.raises(DataError, match="which no training sample has"):
            load(each, task="classification")


@pytest.mark.parametrize("test", [None, (TABLE[:4] + 1, NUMBERS[:4])])
def test_standardized_by_the_statistics_of_the_training_samples(test):
    fraction = 0.25 if test is None else None
    plain, data = (
        load(given(test=test), standardize=standardize, test_fraction=fraction)
        for standardize in (False, None)
    )
    mean, deviation = plain.features.mean(axis=0), plain.features.std(axis=0)
    np.testing.assert_allclose(data.features, (plain.features - mean) / deviation, atol=1e-12)
    np.testing.assert_allclose(
        data.test_features, (plain.test_features - mean) / deviation, atol=1e-12
    )
    np.testing.assert_array_equal(data.targets, plain.targets)
    assert ", standardized, " in data.reading
    assert "standardized" not in plain.reading


def test_a_constant_feature_becomes_zero():
    features = np.column_stack([np.full(60, 0.1), np.arange(60.0)])
    data = load(given(features, test=(features + 1, NUMBERS)))
    np.testing.assert_array_equal(data.features[:, 0], 0)
    np.testing.assert_array_equal(data.test_features[:, 0], 0)


@pytest.mark.parametrize("in_tests", [False, True])
def test_numbers_too_large_to_standardize(in_tests):
    source = given(TABLE * [1, 1e306, 1])
    if in_tests:
        source = given(TABLE * [1, 1e-140, 1], test=(TABLE[:9] * [1, 1e200, 1], NUMBERS[:9]))
    with pytest.raises(DataError, match=r"feature 1 .* too large to standardize") as caught:
        load(source)
    assert "standardize = false" in caught.value.hint
    assert load(source, standardize=False).num_subsets == 5


def test_images_are_not_standardized_and_keep_their_shape():
    images = TABLE.reshape(60, 1, 3) / 1000
    data = load(given(images))
    assert data.form == SampleForm((1, 3))
    assert rows((data.features, data.targets)) == rows((TABLE / 1000, NUMBERS))
    standardized = load(given(images), standardize=True)
    np.testing.assert_allclose(standardized.features.std(axis=0), 1)


@pytest.mark.parametrize(
    ("has_bias", "intercept", "expected"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False)],
)
def test_a_model_without_a_bias_gets_a_feature_of_ones(has_bias, intercept, expected):
    keys = {"has_bias": has_bias, "intercept": intercept, "test_fraction": 0.25}
    data = load(given(), **keys)
    assert data.form == SampleForm((3 + expected,))
    if expected:
        assert (data.features[:, 3] == 1).all()
        assert (data.test_features[:, 3] == 1).all()
    assert (", intercept, " in data.reading) == expected
    image = load(given(TABLE.reshape(60, 1, 3)), **keys)
    assert image.form == SampleForm((4,) if expected else (1, 3))


@pytest.mark.parametrize(
    ("task", "num_subsets", "words", "hint"),
    [
        ("regression", 61, "has 60 training samples, too few for 61 subsets", "to 60 or less"),
        ("classification", 49, "has 48 training samples, too few for 49", "12 samples are kept"),
    ],
)
def test_fewer_samples_than_subsets(task, num_subsets, words, hint):
    targets = LABELS if task == "classification" else NUMBERS
    with pytest.raises(DataError, match=words) as caught:
        load(given(targets=targets), num_subsets, task=task)
    assert hint in caught.value.hint
    assert "devices.count" in caught.value.hint
    assert load(given(targets=targets), num_subsets - 1, task=task).num_subsets == num_subsets - 1


def test_at_least_one_sample_is_left_for_training():
    found = load(given(TABLE[:3], NUMBERS[:3]), 1, test_fraction=0.99)
    assert (len(found.targets), len(found.test_targets)) == (1, 2)


@pytest.mark.parametrize(
    ("field", "source", "keys"),
    [
        ("concentration", Diabetes(), {"partition": "dirichlet", "concentration": 0.0}),
        ("concentration", Diabetes(), {"concentration": 1.0}),
        ("concentration", Diabetes(), {"partition": "sorted", "concentration": 1.0}),
        ("similarity", Diabetes(), {"partition": "similarity"}),
        ("similarity", Diabetes(), {"partition": "similarity", "similarity": 1.1}),
        ("similarity", Diabetes(), {"partition": "similarity", "similarity": -0.1}),
        ("similarity", Diabetes(), {"partition": "dirichlet", "similarity": 0.5}),
        ("test_fraction", Diabetes(), {"test_fraction": 1.0}),
        ("test_fraction", Diabetes(), {"test_fraction": -0.1}),
        ("partition", Diabetes(), {"partition": "random"}),
        ("partition", Synthetic(), {"partition": "sorted"}),
        ("concentration", Synthetic(), {"concentration": 1.0}),
        ("similarity", Synthetic(), {"similarity": 0.5}),
        ("standardize", Synthetic(), {"standardize": False}),
        ("intercept", SyntheticClassification(), {"intercept": True}),
        ("test_fraction", Synthetic(), {"test_fraction": 0.2}),
    ],
)
def test_keys_that_are_wrong_or_without_effect(field, source, keys):
    with pytest.raises(ParameterError) as caught:
        DataPlan(source, **keys)
    assert caught.value.parameter == field


def test_drawn_data_have_test_samples_of_their_own():
    with pytest.raises(ParameterError) as caught:
        DataPlan(Synthetic(), test_fraction=0.2)
    assert "test_samples" in caught.value.hint


def test_the_concentration_that_is_used_is_written_out():
    assert DataPlan(Diabetes(), partition="dirichlet").concentration == 1.0
    assert DataPlan(Diabetes()).concentration is None


def test_what_is_known_before_the_data_are_read():
    drawn, read = DataPlan(Synthetic(7, 3)), DataPlan(File("there-is-no-such-file"))
    assert (drawn.form("regression"), drawn.samples_per_subset) == (SampleForm((7,)), 3)
    assert (read.form("regression"), read.samples_per_subset) == (None, None)
    assert drawn.digest() == load(Synthetic()).digest == load(Synthetic()).reading == ""


def test_the_digest_is_of_what_was_read():
    source = given(targets=LABELS)
    for seed, keys in ((1, {}), (2, {"partition": "sorted", "test_fraction": 0.5})):
        data = load(source, seed=seed, task="classification", **keys)
        assert data.digest == DataPlan(source).digest() != ""


def test_digits():
    pytest.importorskip("sklearn")
    data = load(Digits(), 100, task="classification", partition="sorted")
    assert data.form == SampleForm((8, 8), 10)
    assert (len(data.targets), len(data.test_targets)) == (1438, 359)
    assert (data.features.min(), data.features.max()) == (0, 1)
    assert (np.diff(data.targets) >= 0).all()


def test_samples_are_in_memory_twice_at_most(tmp_path):
    X = np.random.default_rng(0).normal(size=(2000, 300))
    np.savez(tmp_path / "d.npz", X=X, y=X[:, 0])
    plan = DataPlan(File(str(tmp_path / "d.npz")), intercept=True)
    tracemalloc.start()
    plan.digest()
    data = plan.load(5, Streams(1), task="regression", has_bias=True)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now < 1.2 * data.features.nbytes
    assert peak < 2.3 * X.nbytes
