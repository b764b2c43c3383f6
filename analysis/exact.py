"""Methods that recover ∇F exactly, with which other methods are compared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.coding import DecodeStatus, ExactCode
from lad_mpi.errors import LadError
from lad_mpi.metrics.names import (
    AGGREGATION_ERROR,
    DECODER_STATUS,
    GRADIENT_NORM,
    HONEST_DISPERSION,
)
from lad_mpi.spec import parse_component, parse_devices
from lad_mpi.theory import KAPPA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.runs import Method
    from lad_mpi.logs import RunLog
    from lad_mpi.types import HostFloats

#: Largest aggregation error that counts as rounding, relative to the largest gradient norm.
TOLERANCE = 1e-6


def exact_reference(method: Method, methods: Sequence[Method]) -> Method | None:
    """Return the exact method that a method is compared with.

    It has the same data, model, devices, batches, momentum, optimizer, iterations, dtype,
    packages and revision, and at least one seed in common. If there are several, it is the
    one with the most seeds in common.

    Returns
    -------
    Method or None
        The exact method; the method itself if it is exact; None if there is none.
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
    """Return whether a method recovers ∇F exactly, by its components and by its logs.

    Its code must declare exact recovery, its codec must be lossless, and the aggregation
    errors in its logs must be rounding errors. With batches or momentum, messages are not
    about ∇F, so the aggregation error is not one of decoding. Then a decoder must have
    reported exact recovery in every iteration; or all honest messages must have been equal,
    apart from rounding, and the rule must have a proven κ, so that it returns their value.
    """
    if not (_has_exact_code(method) and is_lossless(method)):
        return False
    devices = method.table("devices")
    if "batch_size" in devices or devices.get("momentum"):
        kappa = _proven_kappa(method)
        return all(
            (run.metrics[DECODER_STATUS] == DecodeStatus.EXACT).all() or _were_equal(run, kappa)
            for run in method.runs
        )
    return all(_was_exact(run) for run in method.runs)


def is_lossless(method: Method) -> bool:
    """Return whether the codec of a method is lossless; False if it is not installed."""
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


def _proven_kappa(method: Method) -> float:
    """Return κ of the rule for its n and f; NaN if none is proven for its parameters."""
    rule = method.table("aggregation")
    bound = KAPPA.get(str(rule.get("kind")))
    if rule.get("pre") or bound is None or bound.condition:
        return math.nan
    devices = parse_devices(method.spec)
    return bound.value(devices.count, devices.num_byzantine)


def _was_exact(run: RunLog) -> bool:
    return _is_rounding(run, run.metrics[AGGREGATION_ERROR])


def _were_equal(run: RunLog, kappa: float) -> bool:
    """Return whether the honest messages were equal, as far as a rule with this κ can tell."""
    # A rule with κ returns a vector within sqrt(κ · dispersion) of the honest mean.
    if not math.isfinite(kappa):
        return False
    return _is_rounding(run, np.sqrt(max(kappa, 1.0) * run.metrics[HONEST_DISPERSION]))


def _is_rounding(run: RunLog, error: HostFloats) -> bool:
    """Return whether an error is small relative to the gradients, in all evaluated iterations."""
    evaluated = ~np.isnan(error)
    if not evaluated.any():
        return False
    scale = run.metrics[GRADIENT_NORM][evaluated].max()
    return bool(error[evaluated].max() <= TOLERANCE * scale)


def _conditions(method: Method) -> tuple[Any, ...]:
    return (
        method.table("data"),
        method.table("model"),
        *(method.table("devices").get(key) for key in ("count", "batch_size", "momentum")),
        method.table("optimizer"),
        method.spec.get("iterations"),
        method.table("backend").get("dtype"),
        method.origin,
    )


def _common_seeds(method: Method, other: Method) -> int:
    return len(method.by_seed.keys() & other.by_seed.keys())
