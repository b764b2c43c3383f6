"""Options that commands share: which runs, and how they are reduced to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.pivot import Reduction
from analysis.quantities import parse_quantity
from analysis.runs import load_collection
from lad_mpi.spec import parse_where

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from analysis.quantities import Quantity
    from analysis.runs import Collection
    from lad_mpi.logs import RunLog
    from lad_mpi.spec import Where


def load_selected(options: argparse.Namespace) -> Collection:
    """Read the logs of ``options.paths`` that fulfil ``options.where``.

    Raises
    ------
    UsageError
        See :func:`~analysis.runs.load_collection` and :func:`~lad_mpi.spec.parse_where`.
    """
    return load_collection(options.paths, read_where(options))


def read_where(options: argparse.Namespace) -> Where | None:
    """Return the condition of ``--where``; None without one.

    Raises
    ------
    UsageError
        The text is not a condition.
    """
    return None if options.where is None else parse_where(options.where)


def split_keys(texts: Sequence[str]) -> list[str]:
    """Return the keys of options that may be repeated, and may list keys with commas."""
    return [key.strip() for text in texts for key in text.split(",") if key.strip()]


def read_reduction(options: argparse.Namespace, runs: Sequence[RunLog]) -> Reduction:
    """Return the reduction of ``--worst``, ``--best`` and ``--best-by``.

    Raises
    ------
    UsageError
        No log has the quantity of ``--best-by``.
    """
    return Reduction(
        options.worst, options.best, parse_quantity(options.best_by, runs) if options.best else None
    )


def read_quantities(texts: Sequence[str], runs: Sequence[RunLog]) -> list[Quantity]:
    """Return the named quantities; by default the test accuracy, or the loss if there is none.

    Raises
    ------
    UsageError
        No log has one of them.
    """
    if not texts:
        has_accuracy = any("test_accuracy" in run.metrics for run in runs)
        texts = ["test_accuracy" if has_accuracy else "loss"]
    return [parse_quantity(text, runs) for text in texts]
