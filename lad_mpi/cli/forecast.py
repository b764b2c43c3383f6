"""``lad-mpi forecast``."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.analysis import import_analysis
from lad_mpi.cli.arguments import refuse_ranks, whole_numbers
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.network import parse_network

if TYPE_CHECKING:
    import argparse

    from lad_mpi.network import Network


def forecast(options: argparse.Namespace) -> ExitCode:
    """Fit a cost model to measured runs, check it, and predict other sizes."""
    refuse_ranks("lad-mpi forecast reads logs, and was started on several ranks")
    package = _import("analysis.forecast", "a forecast needs SciPy")
    question = package.Question(
        ranks=_sizes("--ranks", options.ranks),
        loads=_sizes("--load", options.load),
        dimensions=_sizes("--dimension", options.dimension),
        networks=tuple(_network(text) for text in options.network),
        target=options.target,
    )
    found = package.forecast(options.study, question)
    drawn = []
    if options.output is not None:
        figures = importlib.import_module("analysis.cli").import_figures()
        drawn = figures.save_forecast_figures(found, question, options.output)
    table = importlib.import_module("analysis.forecast.table")
    if options.json:
        sys.stdout.write(table.to_json(found) + "\n")
    else:
        table.print_tables(found)
        sys.stdout.writelines(f"{path}\n" for path in drawn)
    return ExitCode.OK if found.check.passed else ExitCode.FAILED


def _import(name: str, needs: str) -> Any:
    """Import a part of the analysis that needs further libraries."""
    try:
        return import_analysis(name)
    except ImportError as error:
        raise UsageError(
            f"{needs}, which cannot be imported ({error})", hint="pip install 'lad_mpi[analysis]'"
        ) from error


def _sizes(option: str, text: str | None) -> tuple[int, ...]:
    return () if text is None else tuple(dict.fromkeys(whole_numbers(option, text, "10,100")))


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ParameterError as error:
        raise UsageError(f"--network {text}: {error}", hint=error.hint) from error
