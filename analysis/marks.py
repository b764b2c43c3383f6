"""Marks on times that were not measured on real devices with a real network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERSUBSCRIBED = "†"
EMULATED = "‡"
SHARED = "§"
OVERSUBSCRIBED_NOTE = "oversubscribed: more threads than cores; times show no scaling"


class Timed(Protocol):
    """A method, a case of a study, or the conditions of a row: anything with times."""

    @property
    def oversubscribed(self) -> bool:
        """Whether any run had more threads than processors."""

    @property
    def emulated_network(self) -> str:
        """The emulated network, ``latency=…,bandwidth=…``; empty if there was none."""

    @property
    def shared_compute(self) -> bool:
        """Whether each rank computed redundant gradients only once."""


def mark(row: Timed) -> str:
    """Return the marks that follow a name or a time; empty if there are none."""
    marks = {
        OVERSUBSCRIBED: row.oversubscribed,
        EMULATED: bool(row.emulated_network),
        SHARED: row.shared_compute,
    }
    return "".join(sign for sign, applies in marks.items() if applies)


def emulated_networks(rows: Sequence[Timed]) -> list[str]:
    """Return the emulated networks of rows, without duplicates."""
    return list(dict.fromkeys(row.emulated_network for row in rows if row.emulated_network))


def emulated_note(rows: Sequence[Timed]) -> str:
    """Explain the mark of emulated networks; empty if no row has one."""
    networks = emulated_networks(rows)
    if not networks:
        return ""
    return (
        f"emulated network ({'; '.join(networks)}): times include the wait for it, "
        "and do not describe a real network"
    )


def time_notes(rows: Sequence[Timed]) -> dict[str, str]:
    """Return the meaning of the marks on rows, by mark, except that of oversubscription."""
    said = {EMULATED: emulated_note(rows)}
    if any(row.shared_compute for row in rows):
        said[SHARED] = (
            'compute = "shared": a rank computes a gradient once for all of its devices, '
            "so compute takes less time than on separate devices"
        )
    return {sign: note for sign, note in said.items() if note}
