"""The command line of lad-mpi analysis."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import commands
from lad_mpi.terminal import path_argument, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOGS = ("paths", "PATH", "a log (*.h5), or a folder with logs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    return run_command(
        build_parser(), arguments, lambda options: options.command(options), name=commands.PROGRAM
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog=commands.PROGRAM, description="Make tables and figures from the logs of runs."
    )
    added = parser.add_subparsers(metavar="COMMAND", required=True)
    _describe_table(_add(added, "table", "show errors and costs, of methods or by any keys"))
    figures = _add(added, "figures", "draw figures of every method, with captions")
    figures.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("figures"),
        metavar="DIR",
        help="folder for the figures (default: figures)",
    )
    _add_metric(figures)
    add_where(figures)
    _add_format(figures)
    figures.set_defaults(command=commands.figures)
    _add_heatmap(added)
    report = _add(added, "report", "write a report as one HTML file, with tables and figures")
    report.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("report.html"),
        metavar="FILE",
        help="the file (default: report.html)",
    )
    report.add_argument("--title", default="", help="title (default: the names of the paths)")
    _add_metric(report)
    add_where(report)
    report.set_defaults(command=commands.report)
    scaling = _add(
        added,
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
    scaling.set_defaults(command=commands.scaling)
    _describe_cheapest(_add(added, "cheapest", "rank methods by the cost of reaching a target"))
    _describe_export(_add(added, "export", "write tables of all runs and of all iterations"))
    compare = _add(
        added,
        "compare",
        "say what became better or worse between two folders of logs",
        paths=("before", "BEFORE", "the logs before: a folder, or one log"),
    )
    _describe_compare(compare)
    return parser


def _describe_cheapest(cheapest: argparse.ArgumentParser) -> None:
    formats = cheapest.add_mutually_exclusive_group()
    for name in ("json", "csv"):
        formats.add_argument(
            f"--{name}",
            dest="format",
            action="store_const",
            const=name,
            help=f"print {name.upper()} with full precision",
        )
    cheapest.add_argument(
        "--target",
        metavar="[METRIC=]VALUE",
        required=True,
        help="a value of a metric, such as test_accuracy=0.93; a number alone is a loss",
    )
    cheapest.add_argument(
        "--by",
        choices=("seconds", "uplink_bytes", "gradients", "iterations"),
        default="seconds",
        help="the cost that decides (default: seconds)",
    )
    add_where(cheapest)
    cheapest.set_defaults(command=commands.cheapest, format="text")


def _describe_export(export: argparse.ArgumentParser) -> None:
    export.add_argument(
        "-o",
        "--output",
        type=path_argument,
        required=True,
        metavar="FOLDER",
        help="folder for runs.parquet and iterations.parquet, or .csv",
    )
    export.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="(default: parquet)"
    )
    add_where(export)
    export.set_defaults(command=commands.export)


def _describe_table(table: argparse.ArgumentParser) -> None:
    formats = table.add_mutually_exclusive_group()
    formats.add_argument(
        "--format",
        choices=("text", "markdown", "latex", "csv", "json", "fom"),
        default="text",
        metavar="FORMAT",
        help="text (default), markdown or latex; csv, json or fom with full precision. fom prints "
        "lines `FOM METHOD/QUANTITY VALUE UNIT` for scripts",
    )
    for name in ("json", "csv", "fom"):
        formats.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, help=f"--format {name}"
        )
    table.add_argument(
        "--target",
        metavar="[METRIC=]VALUE",
        help="also show the iterations, seconds and bytes to reach a value of a metric, such as "
        "test_accuracy=0.9; a number alone is a loss",
    )
    _add_metric(table)
    add_where(table)
    pivots = table.add_argument_group(
        "pivot tables", "Keys are those of a spec, such as coding.load, or a table, such as attack."
    )
    pivots.add_argument(
        "--rows", action="append", default=[], metavar="KEY[,KEY…]", help="a row for each value"
    )
    pivots.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="KEY[,KEY…]",
        help="a column for each value; seeds: the first seed, the first two, …",
    )
    pivots.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="QUANTITY",
        help="a metric, best:METRIC, last10:METRIC, iteration_s, PHASE_s, uplink_bytes, "
        "seconds_to:METRIC=VALUE, …; may be repeated (default: test_accuracy or loss)",
    )
    add_reduction(pivots)
    table.set_defaults(command=commands.table)


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the option that selects runs."""
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only use runs that fulfil a condition, e.g. 'attack=ipm and devices.byzantine>=20'",
    )


def add_reduction(parser: argparse._ActionsContainer) -> None:
    """Add the options that reduce runs which differ in more than their seeds."""
    parser.add_argument(
        "--worst", default="", metavar="KEY", help="take the worst case over this key, e.g. attack"
    )
    parser.add_argument(
        "--best",
        default="",
        metavar="KEY",
        help="tune this key, e.g. optimizer.step_size: take the value that is best by --best-by",
    )
    parser.add_argument(
        "--best-by", default="loss", metavar="QUANTITY", help="what is best (default: loss)"
    )


def _describe_compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument(
        "after", type=path_argument, metavar="AFTER", help="the logs after: a folder, or one log"
    )
    compare.add_argument(
        "--tolerance",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="exit with code 3 if a quantity is significantly worse, by more than this, such as "
        "5%% or 0.05 (default: 5%%)",
    )
    compare.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="QUANTITY",
        help="compare this instead of loss and test_accuracy, such as best:loss; may be "
        "repeated. Bytes and times are always compared",
    )
    compare.add_argument("--json", action="store_true", help="print JSON with full precision")
    add_where(compare)
    compare.set_defaults(command=commands.compare)


def _share(text: str) -> float:
    """Parse ``5%`` or ``0.05``."""
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if number != text else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 5% or 0.05, not {text!r}")
    return share


def _add(
    added: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    paths: tuple[str, str, str] = _LOGS,
) -> argparse.ArgumentParser:
    parser = added.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
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


def _add_heatmap(added: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    heatmap = _add(added, "heatmap", "draw a quantity over two keys, as a heat map")
    for name, text in (("rows", "the key of the rows"), ("columns", "the key of the columns")):
        heatmap.add_argument(f"--{name}", required=True, metavar="KEY", help=text)
    heatmap.add_argument(
        "--value",
        metavar="QUANTITY",
        help="a metric or a cost, such as best:loss or seconds_to:loss=0.1 (default: "
        "test_accuracy or loss)",
    )
    heatmap.add_argument(
        "--panels", default="", metavar="KEY", help="draw a panel for each value of this key"
    )
    add_where(heatmap)
    add_reduction(heatmap)
    heatmap.add_argument(
        "--within",
        metavar="MARGIN",
        help="outline what is nearly as good as exact recovery, and say from which load on: "
        "1%% of the exact value, or a difference such as 0.01",
    )
    _add_format(heatmap)
    heatmap.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("figures"),
        metavar="FILE",
        help="a .pdf, .png or .svg file, or a folder (default: figures)",
    )
    heatmap.set_defaults(command=commands.heatmap)


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        choices=("pdf", "png", "svg"),
        help="write this format; may be given several times (default: pdf and png)",
    )


def _add_metric(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="show this metric of the logs; may be given several times (default: loss, and "
        "test_accuracy if the logs have it)",
    )
