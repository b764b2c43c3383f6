"""Remember the digests of data, and read the data once for a digest and a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lad_mpi.data.samples import joint_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.data.base import Samples

#: Samples, and separate samples for testing.
Pair: TypeAlias = "tuple[Samples, Samples | None]"
#: What distinguishes data from others and from their earlier content.
State: TypeAlias = "tuple[object, ...]"

_digests: dict[State, str] = {}
#: At most one pair, which :func:`digest` has read for the next call of :func:`read`.
_waiting: dict[State, Pair] = {}


def digest(state: State, load: Callable[[], Pair]) -> str:
    """Return the digest of data, which are only read if their state is new.

    Parameters
    ----------
    state : tuple
        Distinguishes the data from others and from their earlier content.
    load : callable
        Reads the data.
    """
    if state not in _digests:
        pair = load()
        _digests[state] = joint_digest(*pair)
        _waiting.clear()
        _waiting[state] = pair
    return _digests[state]


def read(state: State, load: Callable[[], Pair]) -> Pair:
    """Return data that :func:`digest` has just read, or read them.

    Parameters
    ----------
    state, load
        As for :func:`digest`.
    """
    waiting = _waiting.pop(state, None)
    # Other data that wait are not needed any more.
    _waiting.clear()
    return waiting or load()
