"""Arguments of ``python -m analysis``, and how errors reach the person at the terminal."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.errors import ExitCode, LadError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except LadError as error:
        if options.verbose:
            traceback.print_exception(error)
        sys.stderr.write(f"analysis: error: {error}\n")
        return int(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="Tables and figures from the logs of runs."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    table = _add(commands, "table", "errors and costs of every method, a row each")
    formats = table.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON, at full precision")
    formats.add_argument("--csv", action="store_true", help="print CSV, at full precision")
    table.set_defaults(command=_table)
    figures = _add(commands, "figures", "figures as PDF and PNG, with captions")
    figures.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("figures"),
        metavar="DIR",
        help="folder for the figures (default: figures)",
    )
    figures.set_defaults(command=_figures)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="log, or folder that is searched for logs (*.h5)",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show where in the code an error arose"
    )
    return parser


# What a command needs is imported when it runs: the command line stays quick.


def _table(options: argparse.Namespace) -> ExitCode:
    from analysis import table  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415
    from analysis.summary import summarise  # noqa: PLC0415

    collection = load_collection(options.paths)
    rows = summarise(collection)
    if options.json:
        sys.stdout.write(table.to_json(rows, collection) + "\n")
    elif options.csv:
        sys.stdout.write(table.to_csv(rows, collection))
    else:
        table.print_tables(rows, collection)
    return ExitCode.OK


def _figures(options: argparse.Namespace) -> ExitCode:
    from analysis.runs import load_collection  # noqa: PLC0415

    try:
        figures = importlib.import_module("analysis.figures")
    except ImportError as error:
        raise UsageError(
            f"figures need matplotlib, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[analysis]'",
        ) from error
    collection = load_collection(options.paths)
    for path in figures.save_figures(collection, options.output):
        sys.stdout.write(f"{path}\n")
    for line in collection.describe_excluded():
        sys.stderr.write(f"analysis: left out: {line}\n")
    return ExitCode.OK
