"""The commands of lad-mpi analysis.

Modules are imported when a command needs them, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.text import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from analysis.runs import Collection

#: Name of the program in messages.
PROGRAM = "lad-mpi analysis"


def table(options: argparse.Namespace) -> ExitCode:
    """Print the methods, or pivot tables."""
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


def cheapest(options: argparse.Namespace) -> ExitCode:
    """Rank methods by the cost of a target."""
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


def export(options: argparse.Namespace) -> ExitCode:
    """Write tables of runs and of iterations."""
    try:
        tidy = importlib.import_module("analysis.tidy")
    except ImportError as error:
        raise UsageError(
            f"export needs pandas and PyArrow, which cannot be imported ({error})",
            hint="pip install 'lad_mpi[analysis]'",
        ) from error
    from analysis.options import read_where  # noqa: PLC0415
    from analysis.runs import read_runs  # noqa: PLC0415

    where = read_where(options)
    runs, unreadable = read_runs(options.paths, where)
    options.output.mkdir(parents=True, exist_ok=True)
    tables = {"runs": tidy.runs_table(runs, unreadable), "iterations": tidy.iterations_table(runs)}
    for name, table in tables.items():
        path = options.output / f"{name}.{options.format}"
        tidy.write_table(table, path, options.format)
        sys.stdout.write(f"{path}: {len(table)} rows, {len(table.columns)} columns\n")
    return ExitCode.OK


def figures(options: argparse.Namespace) -> ExitCode:
    """Draw the figures."""
    from analysis.options import load_selected  # noqa: PLC0415

    figures = import_figures()
    collection = load_selected(options)
    written = figures.save_figures(collection, options.output, options.metric, options.format)
    for path in written:
        sys.stdout.write(f"{path}\n")
    _tell(collection, [*collection.notes, *collection.doubts])
    return ExitCode.OK


def heatmap(options: argparse.Namespace) -> ExitCode:
    """Draw a heat map, and say what is nearly exact."""
    from analysis.heatmap import build_heatmap, describe_within, parse_margin  # noqa: PLC0415
    from analysis.keys import select  # noqa: PLC0415
    from analysis.options import read_quantities, read_reduction, read_where  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415

    margin = None if options.within is None else parse_margin(options.within)
    where = read_where(options)
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
        sys.stderr.write(f"{PROGRAM}: {one_line(note)}\n")


def report(options: argparse.Namespace) -> ExitCode:
    """Write a report."""
    from analysis.options import read_where  # noqa: PLC0415

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
        where=read_where(options),
        title=options.title,
        metrics=options.metric,
    )
    sys.stdout.write(f"{options.output}\n")
    return ExitCode.OK


def _say_left_out(collection: Collection) -> None:
    for line in collection.describe_excluded():
        sys.stderr.write(f"{PROGRAM}: left out: {one_line(line)}\n")


def scaling(options: argparse.Namespace) -> ExitCode:
    """Print a scaling study, and draw it."""
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


def compare(options: argparse.Namespace) -> ExitCode:
    """Print what changed; the exit code tells a regression."""
    from analysis.compare import compare, show  # noqa: PLC0415
    from analysis.options import read_where  # noqa: PLC0415
    from analysis.runs import load_collection  # noqa: PLC0415

    where = read_where(options)
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
