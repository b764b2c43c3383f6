"""Check samples that were read, and compute the digest that identifies them."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lad_mpi.data.base import Samples
from lad_mpi.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.types import HostFloats

#: Samples that are checked and hashed at once.
_BLOCK = 4096
#: Longest label. NumPy stores every text of an array with the length of the longest.
_LONGEST_LABEL = 200
_BRIGHTEST = 255


def make_samples(
    features: HostFloats,
    targets: npt.NDArray[Any],
    notes: Sequence[str],
    shape: tuple[int, ...] | None = None,
) -> Samples:
    """Describe features and targets, and identify them by a digest.

    Parameters
    ----------
    features : ndarray of float64, shape (n, ...)
        One sample per row: a row of a table, or an image of any shape. All values are
        finite.
    targets : ndarray of float64 or str, shape (n,)
        Numbers to predict, or labels.
    notes : sequence of str
        The format or the source, then further notes on how the samples were read.
    shape : tuple of int, optional
        Shape of one sample, if images are flattened in ``features``.

    Examples
    --------
    >>> samples = make_samples(np.zeros((3, 8, 8)), np.array(["a", "b", "a"]), ["drawn by hand"])
    >>> samples.shape, samples.features.shape
    ((8, 8), (3, 64))
    >>> samples.reading
    'drawn by hand, 3 samples x 8 x 8 features'
    """
    shape = features.shape[1:] if shape is None else shape
    count = len(features)
    flat = features.reshape(count, math.prod(shape))
    sizes = " x ".join(map(str, shape))
    reading = ", ".join([notes[0], f"{count} samples x {sizes} features", *notes[1:]])
    sha = hashlib.sha256(f"<f8 {(count, *shape)}\n".encode())
    _hash_numbers(sha, flat)
    if targets.dtype.kind == "U":
        sha.update(f"utf-8 {targets.shape}\n".encode())
        for label in targets:
            text = str(label).encode()
            sha.update(b"%d:%b" % (len(text), text))
    else:
        sha.update(f"<f8 {targets.shape}\n".encode())
        _hash_numbers(sha, targets)
    return Samples(flat, targets, shape, reading, f"sha256:{sha.hexdigest()}")


def joint_digest(samples: Samples, test: Samples | None) -> str:
    """Identify samples together with separate samples for testing."""
    if test is None:
        return samples.digest
    both = f"{samples.digest}\n{test.digest}\n"
    return f"sha256:{hashlib.sha256(both.encode()).hexdigest()}"


def check_samples(
    features: Any, targets: Any, source: str
) -> tuple[HostFloats, npt.NDArray[Any], list[str]]:
    """Convert the arrays of a file to the types of :class:`~lad_mpi.data.base.Samples`.

    Images of unsigned bytes are scaled to [0, 1].

    Parameters
    ----------
    features : array of real numbers, shape (n, ...)
    targets : array of real numbers or texts, shape (n,)
        Texts may be objects of Python: an array of them then takes no more memory than they do.
    source : str
        The file, for messages.

    Returns
    -------
    features : ndarray of float64, shape (n, ...)
    targets : ndarray of float64 or str, shape (n,)
    notes : list of str
        Whether images were scaled.

    Raises
    ------
    DataError
        The arrays have another type or shape, or hold values that are not finite.
    """
    check_dtype("X", features, source)
    y = _checked_targets(targets, source)
    is_scaled = features.dtype == np.uint8 and features.ndim > 2
    X = np.asarray(features, dtype=np.float64)
    if X.ndim < 2 or y.ndim != 1 or len(X) != len(y) or X.size == 0:
        raise DataError(
            f"data file {source!r}: expected features of shape (n, p), or (n, height, width) for "
            f"images, and targets of shape (n,), none of them empty; found {X.shape} and "
            f"{y.shape}",
            hint="store one row of X and one value of y for every sample",
        )
    if is_scaled:
        X /= _BRIGHTEST
    for start in range(0, len(X), _BLOCK):
        _check_finite(X[start : start + _BLOCK], y[start : start + _BLOCK], start, source)
    return X, y, ["scaled to [0, 1]"] if is_scaled else []


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
            f"data file {source!r}: {name} must hold real numbers"
            f"{' or labels' if name == 'y' else ''}, not {dtype or type(found).__name__}",
            hint=f"store {name} as float64",
        )


def _checked_targets(targets: Any, source: str) -> npt.NDArray[Any]:
    if getattr(getattr(targets, "dtype", None), "kind", "") not in ("U", "S", "O"):
        check_dtype("y", targets, source)
        return np.asarray(targets, dtype=np.float64)
    try:
        labels = np.char.decode(targets, "utf-8") if targets.dtype.kind == "S" else targets
    except UnicodeDecodeError as error:
        raise DataError(
            f"data file {source!r}: a label in y is not UTF-8 ({error})",
            hint="store y as texts, or as bytes in UTF-8",
        ) from error
    lengths = np.array(list(map(len, labels.ravel())))
    for wrong, what in ((lengths == 0, "empty"), (lengths > _LONGEST_LABEL, "too long")):
        if wrong.any():
            raise DataError(
                f"data file {source!r}: the label of sample {np.argmax(wrong)} (counted from 0) "
                f"is {what}",
                hint=f"labels are words of at most {_LONGEST_LABEL} characters; leave out samples "
                "without one",
            )
    return np.asarray(labels, dtype=np.str_)


def _hash_numbers(sha: Any, values: HostFloats) -> None:
    # In blocks, because rows that are not contiguous have to be copied.
    for start in range(0, len(values), _BLOCK):
        rows = np.ascontiguousarray(values[start : start + _BLOCK], dtype="<f8")
        sha.update(rows.reshape(-1).data)


def _check_finite(X: HostFloats, y: npt.NDArray[Any], first: int, source: str) -> None:
    X = X.reshape(len(X), -1)
    are_labels = y.dtype.kind == "U"
    bad = ~np.isfinite(X).all(axis=1)
    if not are_labels:
        bad |= ~np.isfinite(y)
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
