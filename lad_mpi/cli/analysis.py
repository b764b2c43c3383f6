"""``lad-mpi analysis``, and how the command line finds the package ``analysis``: by name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lad_mpi

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
    ImportError
        A library that the module needs is missing.

    Notes
    -----
    The package is loaded from its own place. Looked for on the path, a file or a folder
    ``analysis`` where the person is would be found first.
    """
    if "analysis" not in sys.modules:
        place = importlib.util.spec_from_file_location("analysis", _OURS)
        if place is None or place.loader is None:
            raise ImportError(f"there is no package {_OURS.parent}")
        package = importlib.util.module_from_spec(place)
        sys.modules["analysis"] = package
        place.loader.exec_module(package)
    return importlib.import_module(name)
