"""Arguments that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``--set``, which changes the spec."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="A.B=V",
        help="change one value of the spec; may be repeated",
    )
