"""How many gradients the devices compute, from the spec alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def gradients_per_iteration(spec: Mapping[str, Any]) -> int | None:
    """Return the number of subset gradients that all devices together compute.

    Parameters
    ----------
    spec : mapping
        A resolved spec.

    Returns
    -------
    int or None
        The sum of the devices' loads; None for a code that is not known here.
    """
    coding, devices = spec.get("coding", {}), spec.get("devices", {})
    count = _GRADIENTS.get(str(coding.get("kind")))
    if count is None or "count" not in devices:
        return None
    return count(coding, devices)


def _cyclic(coding: Mapping[str, Any], devices: Mapping[str, Any]) -> int:
    return int(devices["count"]) * int(coding["load"])


def _repetition(coding: Mapping[str, Any], devices: Mapping[str, Any]) -> int:
    # Groups are as even as possible, and each device computes its group's subsets.
    faults = devices.get("assumed_byzantine", devices.get("byzantine", 0))
    groups = devices["count"] // coding.get("load", 2 * faults + 1)
    size, larger = divmod(devices["count"], groups)
    return int(larger * (size + 1) ** 2 + (groups - larger) * size**2)


_GRADIENTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], int]] = {
    "cyclic": _cyclic,
    "draco_repetition": _repetition,
}
