"""The samples of a data set, checked, and the digest that identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats

#: Samples that are checked and hashed at once.
_BLOCK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A data set for regression.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        One row a sample.
    targets : ndarray of float64, shape (n,)
        The numbers to predict.
    reading : str
        How the data were read, in one line for the log.
    digest : str
        ``"sha256:"`` and 64 hexadecimal digits: the SHA-256 of shape, dtype and
        bytes of features and targets.
    """

    features: HostFloats
    targets: HostFloats
    reading: str
    digest: str


def check_samples(features: Any, targets: Any, source: str) -> tuple[HostFloats, HostFloats]:
    """Return features and targets as float64.

    Raises
    ------
    DataError
        They are not real numbers, not finite, or of the wrong shape.
    """
    check_dtype("X", features, source)
    check_dtype("y", targets, source)
    X, y = np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or X.size == 0:
        raise DataError(
            f"data file {source!r}: expected features of shape (n, p) and targets of shape (n,), "
            f"none of them empty; found {X.shape} and {y.shape}",
            hint="store one row of X and one number of y for every sample",
        )
    for start in range(0, len(X), _BLOCK):
        _check_finite(X[start : start + _BLOCK], y[start : start + _BLOCK], start, source)
    return X, y


def check_dtype(name: str, found: Any, source: str) -> None:
    """Refuse anything but an array of real numbers.

    Raises
    ------
    DataError
        It is not an array of real numbers.
    """
    dtype = getattr(found, "dtype", None)
    if dtype is None or dtype.kind not in "biuf" or found.shape is None:
        raise DataError(
            f"data file {source!r}: {name} must hold real numbers, "
            f"not {dtype or type(found).__name__}",
            hint=f"store {name} as float64",
        )


def make_samples(features: HostFloats, targets: HostFloats, notes: list[str]) -> Samples:
    """Return checked features and targets with their digest and a note on how they were read.

    Parameters
    ----------
    features, targets : ndarray of float64, shapes (n, p) and (n,)
    notes : list of str
        The format, and further notes on how they were read.
    """
    count, width = features.shape
    reading = ", ".join([notes[0], f"{count} samples x {width} features", *notes[1:]])
    sha = hashlib.sha256()
    for values in (features, targets):
        sha.update(f"<f8 {values.shape}\n".encode())
        # In blocks, because rows that are not contiguous have to be copied.
        for start in range(0, len(values), _BLOCK):
            rows = np.ascontiguousarray(values[start : start + _BLOCK], dtype="<f8")
            sha.update(rows.reshape(-1).data)
    return Samples(features, targets, reading, f"sha256:{sha.hexdigest()}")


def _check_finite(X: HostFloats, y: HostFloats, first: int, source: str) -> None:
    bad = ~(np.isfinite(X).all(axis=1) & np.isfinite(y))
    if not bad.any():
        return
    row = int(np.argmax(bad))
    in_row = np.flatnonzero(~np.isfinite(X[row]))
    place, value = (
        (f"feature {in_row[0]}", X[row, in_row[0]]) if in_row.size else ("the target", y[row])
    )
    raise DataError(
        f"data file {source!r}: {place} of sample {first + row} (counted from 0) is {value}",
        hint="leave out or fill in such samples before the run",
    )
