"""Whether a launch computed the same results as one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import LadError

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.logs import RunLog


def difference(log: Path, reference: Path, ranks: int, tolerance: float | None = None) -> str:
    """Describe the first difference between a log and that of the one-process run.

    Parameters
    ----------
    log, reference : Path
        Logs of the launch, and of the same spec in one process.
    ranks : int
        P of the launch.
    tolerance : float, optional
        Accepted relative difference of metrics and final model. Without it the bits must be
        the same.

    Returns
    -------
    str
        The first difference; empty if there is none.
    """
    # A dry run does not need HDF5.
    from lad_mpi.logs import read_log  # noqa: PLC0415

    try:
        found, expected = read_log(log), read_log(reference)
    except (LadError, OSError) as error:
        return f"its log cannot be read: {error}"
    return (
        _wrong_run(found, expected, ranks)
        or _different_arrays(found.metrics, expected.metrics, tolerance)
        or _different_arrays(found.refusals, expected.refusals, tolerance)
        or _different_end(found, expected, tolerance)
    )


def _wrong_run(found: RunLog, expected: RunLog, ranks: int) -> str:
    if expected.status != "complete" or expected.ranks != 1:
        return f"the reference run is {expected.status}, with {expected.ranks} ranks"
    if found.status != "complete":
        return f"it is {found.status}: {found.failure or 'no reason given'}"
    if found.ranks != ranks:
        return f"it had {found.ranks} ranks instead of {ranks}"
    if found.identity != expected.identity:
        return "its spec differs from that of the reference run"
    if found.restarts:
        return "it was interrupted and resumed, so its times come from several launches"
    return ""


def _different_arrays(
    found: dict[str, Any], expected: dict[str, Any], tolerance: float | None
) -> str:
    if found.keys() != expected.keys():
        return f"its metrics differ from the reference: {sorted(found)}, {sorted(expected)}"
    for name, values in found.items():
        if values.shape != expected[name].shape:
            return f"{name} has {len(values)} values, but {len(expected[name])} in the reference"
        same = _equal(values, expected[name], tolerance)
        if not same.all():
            at = int(np.flatnonzero(~same)[0])
            return (
                f"{name} differs from the one-process run from iteration {at} on: "
                f"{values[at]!r} instead of {expected[name][at]!r}"
            )
    return ""


def _different_end(found: RunLog, expected: RunLog, tolerance: float | None) -> str:
    if found.final is None or expected.final is None:
        return "it has no final model"
    if not _equal(found.final.model, expected.final.model, tolerance).all():
        return "its final model differs from that of the one-process run"
    return ""


def _equal(one: Any, other: Any, tolerance: float | None) -> Any:
    if one.dtype != other.dtype:
        return np.zeros(len(one), dtype=bool)
    if tolerance is not None:
        return np.isclose(one, other, rtol=tolerance, atol=0.0, equal_nan=True)
    bits = np.dtype(f"u{one.dtype.itemsize}")
    same = one.view(bits) == other.view(bits)
    return same | (np.isnan(one) & np.isnan(other)) if one.dtype.kind == "f" else same
