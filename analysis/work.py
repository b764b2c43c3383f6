"""What the components of a run say of its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lad_mpi.aggregation import CostedPreAggregation, CostedRule
from lad_mpi.errors import LadError
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.aggregation import Cost
    from lad_mpi.coding import Assignment
    from lad_mpi.spec import Spec


def gradients_per_iteration(spec: Mapping[str, Any]) -> int | None:
    """Return the number of subset gradients that all devices together compute.

    Parameters
    ----------
    spec : mapping
        A resolved spec.

    Returns
    -------
    int or None
        The sum of the devices' loads; None where the spec cannot be read, for
        instance because its components are of a package that is not installed.
    """
    try:
        run = parse_spec(spec)
    except LadError:
        return None
    return int(assignment_of(run).loads.sum())


def assignment_of(spec: Spec) -> Assignment:
    """Return who computes what in the first iteration of a run."""
    devices = spec.devices
    return spec.coding.assign(devices.count, devices.num_byzantine, Streams(spec.seed), 0)


def declared_costs(spec: Spec) -> list[tuple[str, Cost | None]]:
    """Return the kind of each part of a spec's rule, and the cost that it declares.

    A code that decodes has none, and a fallback is no work of a usual iteration.
    """
    pipeline = spec.aggregation
    if pipeline is None:
        return []
    costed = (CostedRule, CostedPreAggregation)
    return [
        (part.kind, part.cost if isinstance(part, costed) else None)
        for part in (*pipeline.pre, pipeline.rule)
    ]
