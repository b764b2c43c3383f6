"""What a GPU might still be busy with, though everything here is done at once.

Work counts as under way until something waits for it. Whoever hands an array to others
meanwhile, to MPI for example, is told; and so is whoever writes to pinned memory that is
still being copied from.
"""

from __future__ import annotations

import numpy as np


class Pinned(np.ndarray):
    """Memory of the host that a GPU copies from by itself."""


_under_way = False
_copied_from: list[tuple[np.ndarray, np.ndarray]] = []


def add() -> None:
    """Note that work was queued."""
    global _under_way  # noqa: PLW0603
    _under_way = True


def add_copy_of(host: np.ndarray) -> None:
    """Note that a copy from the host was queued; what is not pinned is copied before that."""
    add()
    if isinstance(host, Pinned):
        _copied_from.append((host, host.copy()))


def wait() -> None:
    """Wait for all work.

    Raises
    ------
    AssertionError
        Pinned memory was written to before a copy from it was known to be done.
    """
    global _under_way  # noqa: PLW0603
    _under_way = False
    copies = _copied_from[:]
    _copied_from.clear()
    for host, then in copies:
        if host.tobytes() != then.tobytes():
            raise AssertionError("pinned memory was written to while it was copied from")


def hand_out(num_bytes: int) -> None:
    """Allow an array to be handed to others, which do not wait for the stream.

    Raises
    ------
    AssertionError
        Work is under way.
    """
    if _under_way and num_bytes:
        raise AssertionError("an array was handed out before the work on it was waited for")
