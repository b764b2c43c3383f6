"""``lad-mpi components``."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.tables import print_table
from lad_mpi.errors import ExitCode
from lad_mpi.spec import FAMILIES
from lad_mpi.spec.components import INJECTED

if TYPE_CHECKING:
    import argparse


def components(options: argparse.Namespace) -> ExitCode:
    """List every component with its parameters and defaults."""
    found = {
        name: [describe(kind, cls) for kind, cls in sorted(family.members().items())]
        for name, family in FAMILIES.items()
    }
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return ExitCode.OK
    for name, rows in found.items():
        title = "aggregation.pre" if name == "pre" else name
        sys.stdout.write(f"[{title}]\n")
        shown = [{**row, "parameters": _inline(row["parameters"])} for row in rows]
        print_table(
            shown, columns={"kind": "kind", "parameters": "parameters", "summary": "what it is"}
        )
        sys.stdout.write("\n")
    return ExitCode.OK


def describe(kind: str, cls: type[Any]) -> dict[str, Any]:
    """Return kind, parameters with their defaults, and the first line of the documentation."""
    parameters = {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(cls)
        if field.init and field.name != INJECTED
    }
    summary = (inspect.getdoc(cls) or "").partition("\n")[0].replace("``", "")
    return {"kind": kind, "parameters": parameters, "summary": summary}


def _inline(parameters: dict[str, Any]) -> str:
    return ", ".join(
        name if default is None else f"{name}={json.dumps(default)}"
        for name, default in parameters.items()
    )
