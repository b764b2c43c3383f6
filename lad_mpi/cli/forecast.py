"""``lad-mpi forecast``."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.analysis import import_analysis
from lad_mpi.cli.arguments import refuse_ranks, whole_numbers
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.network import parse_network
from lad_mpi.spec import parse_where

if TYPE_CHECKING:
    import argparse

    from lad_mpi.network import Network


def forecast(options: argparse.Namespace) -> ExitCode:
    """Predict the costs of measured methods on other ranks and networks."""
    refuse_ranks("lad-mpi forecast reads logs, and was started on several ranks")
    package = _import("analysis.forecast", "a forecast needs SciPy")
    ranks = () if options.ranks is None else whole_numbers("--ranks", options.ranks, "10,100")
    question = package.Question(
        ranks=tuple(dict.fromkeys(ranks)),
        networks={text: _network(text) for text in options.network},
        target=options.target,
    )
    where = None if options.where is None else parse_where(options.where)
    found = package.forecast(options.study, question, where=where, check=options.check)
    table = importlib.import_module("analysis.forecast.table")
    if options.json:
        sys.stdout.write(table.to_json(found) + "\n")
    else:
        table.print_tables(found)
    return ExitCode.FAILED if found.failed else ExitCode.OK


def _import(name: str, needs: str) -> Any:
    """Import a part of the analysis that needs further libraries."""
    try:
        return import_analysis(name)
    except ImportError as error:
        raise UsageError(
            f"{needs}, which cannot be imported ({error})", hint="pip install 'lad_mpi[analysis]'"
        ) from error


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ParameterError as error:
        raise UsageError(f"--network {text}: {error}", hint=error.hint) from error
