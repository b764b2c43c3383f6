"""Methods that recover ∇F exactly: the yardstick for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.coding import ExactCode
from lad_mpi.errors import LadError
from lad_mpi.metrics.names import AGGREGATION_ERROR, GRADIENT_NORM
from lad_mpi.spec import parse_component, parse_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.runs import Method
    from lad_mpi.logs import RunLog

#: Aggregation error that counts as rounding, relative to the greatest gradient norm.
TOLERANCE = 1e-6


def exact_reference(method: Method, methods: Sequence[Method]) -> Method | None:
    """Return the method of exact recovery that a method is compared with.

    It has the same problem, data, devices, optimizer, iterations, dtype, packages and
    revision, and a seed in common; of several, the one with the most seeds in common.

    Returns
    -------
    Method or None
        None where there is none; the method itself where it is exact.
    """
    if is_exact(method):
        return method
    candidates = [
        other
        for other in methods
        if _conditions(other) == _conditions(method) and _common_seeds(method, other)
    ]
    exact = [other for other in candidates if is_exact(other)]
    return max(exact, key=lambda other: _common_seeds(method, other), default=None)


def is_exact(method: Method) -> bool:
    """Tell whether a method should recover ∇F exactly, and its logs say that it did.

    It should if its code says so of itself, and its codec loses nothing.
    """
    if not (_has_exact_code(method) and is_lossless(method)):
        return False
    return all(_was_exact(run) for run in method.runs)


def is_lossless(method: Method) -> bool:
    """Tell whether the messages of a method arrive as they were computed.

    Not where its codec is not installed, so that nobody can say so.
    """
    final = method.runs[0].final
    try:
        codec = parse_component(method.spec, "compression")
    except LadError:
        return False
    return final is not None and bool(codec.delta(final.model.size) == 0)


def _has_exact_code(method: Method) -> bool:
    try:
        devices = parse_devices(method.spec)
        code = parse_component(method.spec, "coding")
    except LadError:
        return False
    return isinstance(code, ExactCode) and code.recovers_exactly(
        devices.count, devices.num_byzantine
    )


def _was_exact(run: RunLog) -> bool:
    error = run.metrics[AGGREGATION_ERROR]
    evaluated = ~np.isnan(error)
    if not evaluated.any():
        return False
    scale = run.metrics[GRADIENT_NORM][evaluated].max()
    return bool(error[evaluated].max() <= TOLERANCE * scale)


def _conditions(method: Method) -> tuple[Any, ...]:
    return (
        method.table("problem"),
        method.table("devices").get("count"),
        method.table("optimizer"),
        method.spec.get("iterations"),
        method.table("backend").get("dtype"),
        method.origin,
    )


def _common_seeds(method: Method, other: Method) -> int:
    return len(method.by_seed.keys() & other.by_seed.keys())
