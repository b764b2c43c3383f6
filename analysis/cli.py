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
    _describe_table(_add(commands, "table", "show errors and costs, of methods or by any keys"))
    figures = _add(commands, "figures", "draw figures of every method, with captions")
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
    figures.set_defaults(command=_figures)
    _add_heatmap(commands)
    report = _add(commands, "report", "write a report as one HTML file, with tables and figures")
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
    report.set_defaults(command=_report)
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
    _describe_cheapest(_add(commands, "cheapest", "rank methods by the cost of reaching a target"))
    _describe_export(_add(commands, "export", "write tables of all runs and of all iterations"))
    compare = _add(
        commands,
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
    cheapest.set_defaults(command=_cheapest, format="text")


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
    export.set_defaults(command=_export)


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
    table.set_defaults(command=_table)


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
    compare.set_defaults(command=_compare)


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


def _add_heatmap(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    heatmap = _add(commands, "heatmap", "draw a quantity over two keys, as a heat map")
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
    heatmap.set_defaults(command=_heatmap)


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


# Modules are imported when a command needs them, so that the command line starts quickly.


def _table(options: argparse.Namespace) -> ExitCode:
    from analysis import export, fom, table  # noqa: PLC0415
    from analysis.metrics import choose_metrics  # noqa: PLC0415
    from analysis.options import load_selected  # noqa: PLC0415
    from analysis.summary import summarise  # noqa: PLC0415
    from analysis.target import find_target  # noqa: PLC0415

    collection = load_selected(options)
    is_pivot = any((options.rows, options.columns, options.value, options.worst, options.best))
    if is_pivot or options.format in {"markdown", "latex"}:
        return _pivot(options, collection)
    runs = collection.runs
    target = None if options.target is None else find_target(options.target, runs)
    rows = summarise(collection, target, choose_metrics(runs, options.metric))
    if options.format == "json":
        sys.stdout.write(export.to_json(rows, collection) + "\n")
    elif options.format == "csv":
        sys.stdout.write(export.to_csv(rows, collection))
    elif options.format == "fom":
        sys.stdout.write(fom.to_lines(fom.of_methods(rows)))
        _say_left_out(collection)
    else:
        table.print_tables(rows, collection)
    return ExitCode.OK


def _pivot(options: argparse.Namespace, collection: Collection) -> ExitCode:
    from analysis import fom, grid  # noqa: PLC0415
    from analysis.options import read_quantities, read_reduction, split_keys  # noqa: PLC0415
    from analysis.pivot import pivot  # noqa: PLC0415

    runs = collection.runs
    values = options.value or [*options.metric, *_target_costs(options.target)]
    pivots = [
        pivot(
            runs,
            quantity,
            rows=split_keys(options.rows) or ["name"],
            columns=split_keys(options.columns),
            reduction=read_reduction(options, runs),
        )
        for quantity in read_quantities(values, runs)
    ]
    if options.format == "text":
        grid.print_grids(pivots, collection)
        return ExitCode.OK
    texts = {
        "markdown": lambda: grid.to_markdown(pivots),
        "latex": lambda: grid.to_latex(pivots),
        "csv": lambda: grid.to_csv(pivots),
        "json": lambda: grid.to_json(pivots, collection) + "\n",
        "fom": lambda: fom.to_lines(fom.of_pivots(pivots)),
    }
    sys.stdout.write(texts[options.format]())
    if options.format == "fom":
        _say_left_out(collection)
    return ExitCode.OK


def _target_costs(target: str | None) -> list[str]:
    """Return the quantities of ``--target``; a number alone is a loss."""
    if target is None:
        return []
    stated = target if "=" in target else f"loss={target}"
    return [f"{spent}_to:{stated}" for spent in ("iterations", "seconds", "uplink_bytes")]


def _cheapest(options: argparse.Namespace) -> ExitCode:
    from analysis import cheapest  # noqa: PLC0415
    from analysis.options import load_selected  # noqa: PLC0415
    from analysis.target import find_target  # noqa: PLC0415

    collection = load_selected(options)
    target = find_target(options.target, collection.runs)
    found = cheapest.find_cheapest(collection, target, options.by)
    if options.format == "json":
        sys.stdout.write(cheapest.to_json(found, target, collection) + "\n")
    elif options.format == "csv":
        sys.stdout.write(cheapest.to_csv(found))
    else:
        cheapest.print_ranking(found, target, options.by, collection)
    return ExitCode.OK


def _export(options: argparse.Namespace) -> ExitCode:
    from analysis import tidy  # noqa: PLC0415
    from analysis.runs import read_runs  # noqa: PLC0415
    from lad_mpi.spec import parse_where  # noqa: PLC0415

    where = None if options.where is None else parse_where(options.where)
    runs, unreadable = read_runs(options.paths, where)
    options.output.mkdir(parents=True, exist_ok=True)
    tables = {"runs": tidy.runs_table(runs, unreadable), "iterations": tidy.iterations_table(runs)}
    for name, table in tables.items():
        path = options.output / f"{name}.{options.format}"
        tidy.write_table(table, path, options.format)
        sys.stdout.write(f"{path}: {len(table)} rows, {len(table.columns)} columns\n")
    return ExitCode.OK


def _figures(options: argparse.Namespace) -> ExitCode:
    from analysis.options import load_selected  # noqa: PLC0415

    figures = import_figures()
    collection = load_selected(options)
    written = figures.save_figures(collection, options.output, options.metric, options.format)
    for path in written:
        sys.stdout.write(f"{path}\n")
    _tell(collection, collection.notes)
    return ExitCode.OK


def _heatmap(options: argparse.Namespace) -> ExitCode:
    from analysis.heatmap import build_heatmap, describe_within, parse_margin  # noqa: PLC0415
    from analysis.keys import select  # noqa: PLC0415
    from analysis.options import read_quantities, read_reduction  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415
    from lad_mpi.spec import parse_where  # noqa: PLC0415

    margin = None if options.within is None else parse_margin(options.within)
    where = None if options.where is None else parse_where(options.where)
    figures = import_figures()
    # The exact method may be one that --where does not select.
    collection = load_collection(options.paths)
    runs = select(collection.runs, where)
    (quantity,) = read_quantities([options.value] if options.value else [], runs)
    heatmap = build_heatmap(
        runs,
        quantity,
        rows=options.rows,
        columns=options.columns,
        panels=options.panels,
        reduction=read_reduction(options, runs),
        margin=margin,
        methods=collection.methods,
    )
    written, caption = figures.save_heatmap(heatmap, options.output, options.format)
    for line in (*describe_within(heatmap), caption, *written):
        sys.stdout.write(f"{one_line(str(line))}\n")
    _tell(collection, collection.doubts)
    return ExitCode.OK


def _tell(collection: Collection, notes: Sequence[str]) -> None:
    """Say which logs were left out, and what a reader should know."""
    _say_left_out(collection)
    for note in notes:
        sys.stderr.write(f"{_PROGRAM}: {one_line(note)}\n")


def _report(options: argparse.Namespace) -> ExitCode:
    from lad_mpi.spec import parse_where  # noqa: PLC0415

    import_figures()
    try:
        report = importlib.import_module("analysis.report")
    except ImportError as error:
        raise UsageError(
            f"reports need Jinja, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[analysis]'",
        ) from error
    report.write_report(
        options.paths,
        options.output,
        where=None if options.where is None else parse_where(options.where),
        title=options.title,
        metrics=options.metric,
    )
    sys.stdout.write(f"{options.output}\n")
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


def _compare(options: argparse.Namespace) -> ExitCode:
    from analysis.compare import compare, show  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415
    from lad_mpi.spec import parse_where  # noqa: PLC0415

    where = None if options.where is None else parse_where(options.where)
    before, after = (load_collection([one], where) for one in (options.before, options.after))
    found = compare(before, after, options.value, options.tolerance)
    if options.json:
        sys.stdout.write(show.to_json(found) + "\n")
    else:
        show.print_comparison(found)
    return ExitCode.REGRESSION if found.regressions else ExitCode.OK


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
