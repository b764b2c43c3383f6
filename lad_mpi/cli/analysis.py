"""``lad-mpi analysis``, and how the command line finds the package ``analysis``: by name."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lad_mpi
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    import argparse

#: It is installed beside this package.
_OURS = Path(lad_mpi.__file__).parents[1] / "analysis" / "__init__.py"


def analysis(options: argparse.Namespace) -> int:
    """Run the command line of the analysis."""
    return int(import_analysis("analysis.cli").main(options.words))


def import_analysis(name: str) -> Any:
    """Import a module of the analysis.

    Parameters
    ----------
    name : str
        ``"analysis.cli"``, ``"analysis.forecast"``, …

    Raises
    ------
    UsageError
        Python finds another ``analysis`` first. That one is not imported.
    ImportError
        A library that the module needs is missing.
    """
    spec = importlib.util.find_spec("analysis")
    if spec is None or spec.origin is None or not _OURS.samefile(spec.origin):
        found = None if spec is None else spec.origin
        raise UsageError(
            f"the package `analysis` of this suite is {_OURS}, but Python finds "
            f"{found or 'another one'} first",
            hint="call `lad-mpi` instead of `python -m lad_mpi`, unset PYTHONPATH, or rename "
            "the other one",
        )
    return importlib.import_module(name)
