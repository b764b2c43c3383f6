"""Commands that run on all ranks together: they agree, and no rank is left waiting."""

from __future__ import annotations

import contextlib
import sys
import traceback
from typing import TYPE_CHECKING

from lad_mpi.errors import ExitCode, LadError, RelayedError
from lad_mpi.transport import open_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.transport import Link

_FAILED = "!"
_FINE = "+"


@contextlib.contextmanager
def whole_world() -> Iterator[Link]:
    """Open the link, and end all ranks if an exception leaves this one.

    Without that the others would wait for this rank forever.
    """
    link = open_link()
    try:
        yield link
    except LadError:
        # Errors of this kind that reach the command line are known to all ranks.
        raise
    except BaseException as error:
        if link.size == 1:
            raise
        sys.stderr.write(f"lad-mpi: error on rank {link.rank}: {type(error).__name__}: {error}\n")
        if not isinstance(error, KeyboardInterrupt):
            traceback.print_exc()
        sys.stderr.flush()
        link.abort(int(ExitCode.FAILED))


def on_server(link: Link, produce: Callable[[], str]) -> str:
    """Compute a text on the server and return it on all ranks.

    Raises
    ------
    LadError
        What ``produce`` raised, on the server; on the other ranks one of the
        same exit code, whose message nobody prints.
    """
    if not link.is_server:
        verdict, _, text = link.share("").partition("\n")
        if verdict.startswith(_FAILED):
            raise RelayedError(ExitCode(int(verdict[1:])))
        return text
    try:
        text = produce()
    except LadError as error:
        link.share(f"{_FAILED}{int(error.exit_code)}\n")
        raise
    link.share(f"{_FINE}\n{text}")
    return text
