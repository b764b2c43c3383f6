"""What commands share: their parsers, common arguments, and the values of arguments."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, NoReturn

from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.launchers import announced_rank, announced_size

if TYPE_CHECKING:
    from typing import TypeAlias

    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001

_LARGEST = 10**12
_SHORTEST_S, _LONGEST_S = 0.1, 1e6


class Parser(argparse.ArgumentParser):
    """A parser that prints an error once, whatever the number of ranks."""

    def error(self, message: str) -> NoReturn:
        """Print how the command is used and what is wrong, and exit with code 2."""
        if announced_rank() == 0:
            self.print_usage(sys.stderr)
            sys.stderr.write(f"{self.prog}: error: {message}\n")
        raise SystemExit(int(ExitCode.USAGE))


def add_command(
    commands: Commands,
    name: str,
    short: str,
    text: str,
) -> Parser:
    """Add a command with a short and a long help text, and ``--verbose``."""
    parser = commands.add_parser(name, help=short, description=text)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show the traceback of an error",
    )
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_overrides(parser: argparse.ArgumentParser, what: str = "the spec") -> None:
    """Add ``--set``, which changes a spec."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="A.B=V",
        help=f"change a value of {what}, such as coding.load=10; may be repeated",
    )


def whole_numbers(option: str, text: str, example: str) -> list[int]:
    """Read whole numbers from 1 on, separated by commas; ``1e6`` is one.

    Parameters
    ----------
    option, text : str
        The option and its value.
    example : str
        A valid value, for the hint.

    Raises
    ------
    UsageError
        The text contains something else.
    """
    try:
        found = [int(word) if word.strip().isdigit() else float(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{option} {text}: expected numbers with commas between them",
            hint=f"{option} {example}",
        ) from error
    if not all(1 <= number <= _LARGEST and number == int(number) for number in found):
        raise UsageError(
            f"{option} {text}: expected whole numbers from 1 on", hint=f"{option} {example}"
        )
    return [int(number) for number in found]


def whole_number(option: str, text: str, example: str) -> int:
    """Read one whole number, as :func:`whole_numbers` does."""
    found = whole_numbers(option, text, example)
    if len(found) > 1:
        raise UsageError(f"{option} {text}: expected one number", hint=f"{option} {example}")
    return found[0]


def seconds_argument(text: str) -> float:
    """Return the number of seconds that an argument gives, at least 0.1."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"expected seconds from {_SHORTEST_S} on, found {text!r}")
    return seconds


def refuse_ranks(reason: str) -> None:
    """Refuse to run under a launcher with several ranks.

    Raises
    ------
    UsageError
        There are several ranks.
    """
    if announced_size() > 1:
        raise UsageError(reason, hint="call it once, without mpirun or srun")
