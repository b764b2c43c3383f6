"""How many gradients the devices compute, as the run's code says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lad_mpi.errors import LadError
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    devices = run.devices
    assignment = run.coding.assign(devices.count, devices.num_byzantine, Streams(run.seed), 0)
    return int(assignment.loads.sum())
