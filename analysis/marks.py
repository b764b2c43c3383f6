"""Marks on times that are not those of ranks with processors and a network of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERSUBSCRIBED = "†"
EMULATED = "‡"


class Timed(Protocol):
    """What has times: a method, a case of a study, a row of a table."""

    @property
    def oversubscribed(self) -> bool:
        """Whether some run had more threads than processors."""

    @property
    def emulated_network(self) -> str:
        """The network that was emulated, ``latency=…,bandwidth=…``; empty where none was."""


def mark(row: Timed) -> str:
    """Return the marks behind a name or a time; empty where nothing is to be said."""
    crowded = OVERSUBSCRIBED if row.oversubscribed else ""
    return crowded + (EMULATED if row.emulated_network else "")


def emulated_networks(rows: Sequence[Timed]) -> list[str]:
    """Return the networks that were emulated for rows, each once."""
    return list(dict.fromkeys(row.emulated_network for row in rows if row.emulated_network))


def emulated_note(rows: Sequence[Timed]) -> str:
    """Say which network was emulated for those rows that are marked; empty where there are none."""
    networks = emulated_networks(rows)
    if not networks:
        return ""
    return (
        f"emulated network ({'; '.join(networks)}): times include the wait for it, "
        "and are those of no real network"
    )
