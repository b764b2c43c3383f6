"""Options that several commands share: which runs, and how runs become one number."""

# Modules are imported when a command needs them, as in analysis.cli.

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from analysis.pivot import Reduction
    from analysis.runs import Collection
    from lad_mpi.logs import RunLog


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add ``--where``."""
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="use only these runs, for example 'attack.kind=ipm and devices.byzantine>=20'",
    )


def add_reduction(parser: argparse.ArgumentParser) -> None:
    """Add ``--worst``, ``--best`` and ``--best-by``."""
    parser.add_argument(
        "--worst",
        default="",
        metavar="KEY",
        help="take the worst case over the values of a key, such as attack",
    )
    parser.add_argument(
        "--best",
        default="",
        metavar="KEY",
        help="choose the best value of a key, such as optimizer.step_size",
    )
    parser.add_argument(
        "--best-by",
        default="loss",
        metavar="QUANTITY",
        help="what --best chooses by (default: loss, which is the training loss)",
    )


def load_chosen(options: argparse.Namespace) -> tuple[Collection, Collection]:
    """Load the logs that the options name; return all runs, and those that ``--where`` chooses.

    Raises
    ------
    UsageError
        ``--where`` is not a condition, a path does not exist, or no run is left.
    """
    from analysis.runs import choose, load_collection  # noqa: PLC0415
    from lad_mpi.spec import parse_where  # noqa: PLC0415

    # A mistake in the condition should show before many logs are read.
    where = None if options.where is None else parse_where(options.where)
    collection = load_collection(options.paths)
    return collection, choose(collection, where)


def reduction_of(options: argparse.Namespace, runs: Sequence[RunLog]) -> Reduction:
    """Return how the options reduce runs.

    Raises
    ------
    UsageError
        No log has the quantity that chooses the best value.
    """
    from analysis.pivot import Reduction  # noqa: PLC0415
    from analysis.quantities import parse_quantity  # noqa: PLC0415

    by = parse_quantity(options.best_by, runs) if options.best else None
    return Reduction(worst=options.worst, best=options.best, best_by=by)
