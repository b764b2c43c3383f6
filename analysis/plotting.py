"""Import of the figures, for commands that draw; all others do without matplotlib."""

from __future__ import annotations

import importlib
import os
from typing import Any

from lad_mpi.errors import UsageError

#: matplotlib cannot be imported with a wrong value of these, and ours need none.
_SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def import_figures() -> Any:
    """Return the package :mod:`analysis.figures`, whatever the user's settings of matplotlib.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    own = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        return importlib.import_module("analysis.figures")
    except ImportError as error:
        raise UsageError(
            f"figures need matplotlib, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[analysis]'",
        ) from error
    finally:
        for name, value in own.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
