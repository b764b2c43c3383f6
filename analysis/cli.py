"""The command line of lad-mpi analysis."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.terminal import path_argument, run_command
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.runs import Collection


_PROGRAM = "lad-mpi analysis"
_LOGS = ("paths", "PATH", "a log (*.h5), or a folder with logs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    return run_command(
        build_parser(), arguments, lambda options: options.command(options), name=_PROGRAM
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Make tables and figures from the logs of runs."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    table = _add(commands, "table", "show the errors and costs of every method")
    formats = table.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON with full precision")
    formats.add_argument("--csv", action="store_true", help="print CSV with full precision")
    formats.add_argument(
        "--fom",
        action="store_true",
        help="print lines `FOM METHOD/QUANTITY VALUE UNIT` with full precision, for scripts",
    )
    table.add_argument(
        "--target",
        metavar="[METRIC=]VALUE",
        help="also show the iterations, seconds and bytes to reach a value of a metric, such as "
        "test_accuracy=0.9; a number alone is a loss",
    )
    _add_metric(table)
    table.set_defaults(command=_table)
    figures = _add(commands, "figures", "draw figures as PDF and PNG, with captions")
    figures.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("figures"),
        metavar="DIR",
        help="folder for the figures (default: figures)",
    )
    _add_metric(figures)
    figures.set_defaults(command=_figures)
    scaling = _add(
        commands,
        "scaling",
        "show times, speed-up, efficiency and bounds of a scaling study",
        paths=("folder", "DIR", "folder of the scaling study"),
    )
    scaling.add_argument("--json", action="store_true", help="print JSON with full precision")
    scaling.add_argument(
        "-o",
        "--output",
        type=path_argument,
        metavar="FOLDER",
        help="also draw figures, into this folder",
    )
    scaling.set_defaults(command=_scaling)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    paths: tuple[str, str, str] = _LOGS,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    destination, metavar, meaning = paths
    several = "+" if paths is _LOGS else None
    parser.add_argument(
        destination, type=path_argument, nargs=several, metavar=metavar, help=meaning
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show the traceback of an error",
    )
    return parser


def _add_metric(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="show this metric of the logs; may be given several times (default: loss, and "
        "test_accuracy if the logs have it)",
    )


# Modules are imported when a command needs them, so that the command line starts quickly.


def _table(options: argparse.Namespace) -> ExitCode:
    from analysis import export, table  # noqa: PLC0415
    from analysis.fom import foms  # noqa: PLC0415
    from analysis.metrics import choose_metrics  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415
    from analysis.summary import summarise  # noqa: PLC0415
    from analysis.target import find_target  # noqa: PLC0415

    collection = load_collection(options.paths)
    runs = collection.runs
    target = None if options.target is None else find_target(options.target, runs)
    rows = summarise(collection, target, choose_metrics(runs, options.metric))
    if options.json:
        sys.stdout.write(export.to_json(rows, collection) + "\n")
    elif options.csv:
        sys.stdout.write(export.to_csv(rows, collection))
    elif options.fom:
        sys.stdout.writelines(f"{line}\n" for line in foms(rows))
        _say_left_out(collection)
    else:
        table.print_tables(rows, collection)
    return ExitCode.OK


def _figures(options: argparse.Namespace) -> ExitCode:
    from analysis.runs import load_collection  # noqa: PLC0415

    figures = import_figures()
    collection = load_collection(options.paths)
    for path in figures.save_figures(collection, options.output, options.metric):
        sys.stdout.write(f"{path}\n")
    _say_left_out(collection)
    for note in collection.notes:
        sys.stderr.write(f"{_PROGRAM}: {one_line(note)}\n")
    return ExitCode.OK


def _say_left_out(collection: Collection) -> None:
    for line in collection.describe_excluded():
        sys.stderr.write(f"{_PROGRAM}: left out: {one_line(line)}\n")


def _scaling(options: argparse.Namespace) -> ExitCode:
    from analysis.scaling import load_scaling, summarise_scaling, table  # noqa: PLC0415

    study = load_scaling(options.folder)
    rows = summarise_scaling(study)
    drawn = []
    if options.output is not None:
        drawn = import_figures().save_scaling_figures(study, rows, options.output)
    if options.json:
        sys.stdout.write(table.to_json(rows, study) + "\n")
        return ExitCode.OK
    table.print_tables(rows, study)
    for path in drawn:
        sys.stdout.write(f"{path}\n")
    return ExitCode.OK


#: With a wrong value of these variables, matplotlib cannot be imported. We do not need them.
_SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def import_figures() -> Any:
    """Import :mod:`analysis.figures`, ignoring the user's settings of matplotlib.

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
