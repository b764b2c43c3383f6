"""``lad-mpi forecast``."""

from __future__ import annotations

import importlib
import math
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.analysis import import_analysis
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.launchers import announced_size
from lad_mpi.network import parse_network

if TYPE_CHECKING:
    import argparse

    from lad_mpi.network import Network

_LARGEST = 10**12


def forecast(options: argparse.Namespace) -> ExitCode:
    """Fit a cost model on measured runs, check it, and predict other sizes."""
    if announced_size() > 1:
        raise UsageError(
            "lad-mpi forecast reads logs, and was started on several ranks",
            hint="call it once, without mpirun or srun",
        )
    package = _import("analysis.forecast", "a forecast needs SciPy")
    target = None
    if options.target_error is not None:
        if not math.isfinite(options.target_error):
            raise UsageError(f"--target-error {options.target_error}: expected a finite number")
        target = package.Target(options.metric, options.target_error)
    question = package.Question(
        ranks=_numbers("--ranks", options.ranks),
        loads=_numbers("--load", options.load),
        dimensions=_numbers("--dimension", options.dimension),
        networks=tuple(_network(text) for text in options.network),
        target=target,
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
    """Import a part of the analysis, whose libraries a run does without."""
    try:
        return import_analysis(name)
    except ImportError as error:
        raise UsageError(
            f"{needs}, which cannot be imported ({error})", hint="pip install 'lad_mpi[analysis]'"
        ) from error


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        # 1e6 is a usual way to write a dimension.
        found = [int(word) if word.strip().isdigit() else float(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{option} {text}: expected numbers with commas between them", hint=f"{option} 10,100"
        ) from error
    if not all(1 <= number <= _LARGEST and number == int(number) for number in found):
        raise UsageError(f"{option} {text}: expected whole numbers from 1 on")
    return tuple(dict.fromkeys(int(number) for number in found))


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ParameterError as error:
        raise UsageError(f"--network {text}: {error}", hint=error.hint) from error
