"""What is known of a component: from its fields, its docstring, and the theory."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import typing
from typing import Any, ClassVar, Protocol

from lad_mpi.aggregation import RobustRule
from lad_mpi.cli import numpydoc
from lad_mpi.cli.reference import default_of, is_required
from lad_mpi.errors import ParameterError
from lad_mpi.spec import FAMILIES
from lad_mpi.spec.components import INJECTED
from lad_mpi.spec.contracts import capabilities, offers_all_of
from lad_mpi.theory import AFTER_NNM, KAPPA, PUBLISHED


class Costed(Protocol):
    """A component that says what it costs, in terms or in words."""

    cost: ClassVar[object]


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
        number; its formula says so. ``offers`` names the optional protocols that the
        component keeps, and ``ignored`` what other packages offer under its name. ``published`` is
        the published κ if a sharper one is known.
    """
    documentation = numpydoc.read(cls)
    own = kind in FAMILIES[family].table
    hints = typing.get_type_hints(cls)
    return {
        "kind": kind,
        "summary": documentation.summary,
        "parameters": {
            field.name: {
                "type": inspect.formatannotation(hints[field.name]).replace("typing.", ""),
                "required": is_required(field),
                "default": None if is_required(field) else default_of(field),
                "description": documentation.parameters.get(field.name, ""),
            }
            for field in dataclasses.fields(cls)
            if field.init and field.name != INJECTED
        },
        "notes": documentation.notes,
        "cost": str(cls.cost) if offers_all_of(cls, Costed) else None,
        "kappa": _kappa(family, kind, cls, num_devices, num_byzantine),
        "references": list(documentation.references),
        "links": list(documentation.links),
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "offers": capabilities(cls, FAMILIES[family].contracts),
        "ignored": [str(offer) for offer in FAMILIES[family].offered(kind)] if own else [],
        "problem": "",
    }


def describe_unusable(kind: str, problem: str) -> dict[str, Any]:
    """Return the same keys for a kind that cannot be used, with nothing but the reason."""
    return {
        "kind": kind,
        "summary": "",
        "parameters": {},
        "notes": "",
        "cost": None,
        "kappa": None,
        "references": [],
        "links": [],
        "class": "",
        "offers": [],
        "ignored": [],
        "problem": problem,
    }


def _kappa(
    family: str, kind: str, cls: type[Any], num_devices: int, num_byzantine: int
) -> dict[str, Any] | None:
    """Return the κ that a rule declares itself, else the one in the theory's table."""
    condition, value, published = "", math.nan, None
    if offers_all_of(cls, RobustRule):
        formula = (inspect.getdoc(cls.kappa) or "declared").partition("\n")[0].rstrip(".")
        # One that is not defined there is not known there; the others are shown all the same.
        with contextlib.suppress(ParameterError, ArithmeticError):
            value = float(cls.kappa(num_devices, num_byzantine))
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
