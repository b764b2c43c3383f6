"""What is known about a component: from its fields, its docstring, and the theory."""

from __future__ import annotations

import contextlib
import inspect
import math
from typing import Any, ClassVar, Protocol

from lad_mpi.aggregation import RobustRule
from lad_mpi.cli import numpydoc
from lad_mpi.cli.reference import keys_of
from lad_mpi.errors import ParameterError
from lad_mpi.spec import FAMILIES
from lad_mpi.spec.contracts import capabilities, offers_all_of
from lad_mpi.theory import AFTER_NNM, KAPPA, PUBLISHED


class Costed(Protocol):
    """A component that declares its cost, in terms or in words."""

    cost: ClassVar[object]


def describe(
    family: str, kind: str, cls: type[Any], *, num_devices: int, num_byzantine: int
) -> dict[str, Any]:
    """Return all that is known about a component, ready for JSON.

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
        Unknown values are None or empty. A κ that is not finite is None as a number, and
        its formula says so. ``offers`` names the optional protocols that the component
        implements, and ``ignored`` what other packages offer under its name.
        ``published`` is the published κ if a sharper one is known.
    """
    documentation = numpydoc.read_docstring(cls)
    own = kind in FAMILIES[family].table
    return {
        "kind": kind,
        "summary": documentation.summary,
        "parameters": {
            key.name: {
                "type": key.type,
                "range": key.range,
                "unit": key.unit,
                "required": key.required,
                "default": key.default,
                "description": key.meaning,
            }
            for key in keys_of(cls)
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
    """Return the same keys for a kind that cannot be used, with the reason only."""
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
    """Return the κ that a rule declares, else the one in the table of the theory."""
    condition, value, published = "", math.nan, None
    if offers_all_of(cls, RobustRule):
        formula = (inspect.getdoc(cls.kappa) or "declared").partition("\n")[0].rstrip(".")
        # A κ that is not defined for these n and f is unknown.
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
