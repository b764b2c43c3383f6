"""What is known of a component: from its fields, its docstring, and the theory."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import typing
from typing import Any

from lad_mpi.cli import numpydoc
from lad_mpi.errors import ParameterError
from lad_mpi.spec.components import INJECTED
from lad_mpi.theory import AFTER_NNM, KAPPA, PUBLISHED


def describe(
    family: str, kind: str, cls: type[Any], *, num_devices: int, num_byzantine: int
) -> dict[str, Any]:
    """Return all that is known of a component, ready for JSON.

    Parameters
    ----------
    family : str
        Its family's name in :data:`lad_mpi.spec.FAMILIES`.
    kind : str
        Its own name there.
    cls : type
        The component.
    num_devices, num_byzantine : int
        n and f for which κ is evaluated.

    Returns
    -------
    dict
        What is not known is None or empty. A κ that is not finite is None as a
        number; its formula says so. ``published`` is the published κ if a sharper one
        is known.
    """
    documentation = numpydoc.read(cls)
    hints = typing.get_type_hints(cls)
    return {
        "kind": kind,
        "summary": documentation.summary,
        "parameters": {
            field.name: {
                "type": inspect.formatannotation(hints[field.name]).replace("typing.", ""),
                "required": _is_required(field),
                "default": None if _is_required(field) else _default(field),
                "description": documentation.parameters.get(field.name, ""),
            }
            for field in dataclasses.fields(cls)
            if field.init and field.name != INJECTED
        },
        "notes": documentation.notes,
        "cost": getattr(cls, "cost", None),
        "kappa": _kappa(family, kind, cls, num_devices, num_byzantine),
        "references": list(documentation.references),
        "links": list(documentation.links),
        "class": f"{cls.__module__}.{cls.__qualname__}",
    }


def _kappa(
    family: str, kind: str, cls: type[Any], num_devices: int, num_byzantine: int
) -> dict[str, Any] | None:
    """Return the κ that a rule declares itself, else the one in the theory's table."""
    declared = getattr(cls, "kappa", None)
    condition, value, published = "", math.nan, None
    if callable(declared):
        formula = (inspect.getdoc(declared) or "declared").partition("\n")[0].rstrip(".")
        # One that is not defined there is not known there; the others are shown all the same.
        with contextlib.suppress(ParameterError, ArithmeticError):
            value = float(declared(num_devices, num_byzantine))
    elif family == "aggregation" and kind in KAPPA:
        bound = KAPPA[kind]
        formula, condition = bound.formula, bound.condition
        value = bound.value(num_devices, num_byzantine)
        if kind in PUBLISHED and PUBLISHED[kind].formula != formula:
            published = {
                "formula": PUBLISHED[kind].formula,
                "value": PUBLISHED[kind].value(num_devices, num_byzantine),
            }
    else:
        formula = AFTER_NNM if (family, kind) == ("pre", "nnm") else ""
    if not formula:
        return None
    return {
        "formula": formula,
        "condition": condition,
        "n": num_devices,
        "f": num_byzantine,
        "value": value if math.isfinite(value) else None,
        "published": published,
    }


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
