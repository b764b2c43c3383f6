"""Prepare samples that were read: number their classes, and standardize their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.data.columns import few
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.types import HostFloats, HostInts

#: Numbers with more distinct values than this, and few samples of each, are not labels.
_FEW_CLASSES = 20
_FEW_SAMPLES = 5
#: Relative deviation of a constant feature, due to rounding.
_ROUNDING = 1e-13


def numbers(targets: npt.NDArray[Any]) -> HostFloats:
    """Return targets of a regression.

    Raises
    ------
    DataError
        They are texts.
    """
    if targets.dtype.kind == "U":
        raise DataError(
            f"[data]: the targets are labels, such as {str(targets[0])!r}, and the model predicts "
            "numbers",
            hint='use a model that classifies, such as kind = "softmax_regression" in [model]',
        )
    return targets


def class_numbers(
    targets: npt.NDArray[Any], test_targets: npt.NDArray[Any] | None
) -> tuple[HostInts, HostInts | None, tuple[str, ...]]:
    """Return labels as class numbers, counted from 0 in sorted order.

    Parameters
    ----------
    targets : ndarray of float64 or str, shape (n,)
        The labels of the samples.
    test_targets : ndarray of float64 or str, or None
        The labels of separate samples for testing.

    Returns
    -------
    targets, test_targets : ndarray of int64
        Class numbers 0…C−1.
    classes : tuple of str
        The labels by class number.

    Raises
    ------
    DataError
        There is one class only, the targets look like measurements, or a test sample has a
        label that no training sample has.
    """
    labels, found = np.unique(targets, return_inverse=True)
    if len(labels) == 1:
        raise DataError(
            f"[data]: all {len(targets)} samples have the same label, {_name(labels[0])!r}",
            hint="a model that classifies needs two classes at least; see that target in [data] "
            "names the right column",
        )
    if _are_measurements(labels, len(targets)):
        raise DataError(
            f"[data]: the targets have {len(labels)} different values in {len(targets)} samples, "
            "so they look like measurements, and the model classifies",
            hint='use a regression model, such as kind = "linear_regression" in [model], or store '
            "labels as texts",
        )
    classes = tuple(map(_name, labels))
    if test_targets is None:
        return found.astype(np.int64), None, classes
    # As Python objects: NumPy would find the number 1.0 equal to the text "1.0".
    known = set(labels.tolist())
    if strange := [label for label in np.unique(test_targets).tolist() if label not in known]:
        raise DataError(
            f"[data]: test samples have the label {_name(strange[0])!r}, which no training sample "
            f"has; labels: {few(classes)}",
            hint="write labels in the same way in both files",
        )
    return found.astype(np.int64), np.searchsorted(labels, test_targets), classes


def standardize(features: HostFloats, test_features: HostFloats) -> None:
    """Shift and scale columns to mean 0 and variance 1, in place.

    The mean and the variance are those of ``features``. A constant feature becomes 0.

    Parameters
    ----------
    features, test_features : ndarray of float64, shapes (n, p) and (t, p)

    Raises
    ------
    DataError
        A feature has values too large to standardize.
    """
    largest = np.maximum(features.max(axis=0), -features.min(axis=0))
    with np.errstate(over="ignore", invalid="ignore"):
        mean = features.mean(axis=0)
        features -= mean
        deviations = features.std(axis=0)
        # Rounding leaves a constant feature with a tiny deviation, which must not be blown up.
        constant = deviations <= _ROUNDING * largest
        scale = np.where(constant, 1.0, deviations)
        features /= scale
        test_features -= mean
        test_features /= scale
    features[:, constant] = test_features[:, constant] = 0.0
    fine = np.isfinite(deviations) & np.isfinite(test_features).all(axis=0)
    if not fine.all():
        raise DataError(
            f"[data]: feature {int(np.argmin(fine))} (counted from 0) has values too large to "
            "standardize",
            hint="rescale that feature, or set standardize = false in [data]",
        )


def _name(label: Any) -> str:
    if isinstance(label, str):
        return str(label)
    return str(int(label)) if float(label).is_integer() else repr(float(label))


def _are_measurements(labels: npt.NDArray[Any], num_samples: int) -> bool:
    """Return whether targets with these distinct values are hardly labels."""
    if labels.dtype.kind == "U":
        return False
    are_integers = bool((labels == np.trunc(labels)).all())
    if not are_integers and 2 * len(labels) > num_samples:
        return True
    return len(labels) > _FEW_CLASSES and _FEW_SAMPLES * len(labels) > num_samples
