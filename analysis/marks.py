"""Marks on times that are not those of devices with processors and a network of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERSUBSCRIBED = "†"
EMULATED = "‡"
SHARED = "§"
OVERLAP = "¶"


class Timed(Protocol):
    """What has times: a method, a case of a study, the conditions of a row of a table."""

    @property
    def oversubscribed(self) -> bool:
        """Whether some run had more threads than processors."""

    @property
    def emulated_network(self) -> str:
        """The network that was emulated, ``latency=…,bandwidth=…``; empty where none was."""

    @property
    def shared_compute(self) -> bool:
        """Whether redundant gradients were computed once a rank."""

    @property
    def overlap(self) -> bool:
        """Whether messages were gathered while the server worked."""


def mark(row: Timed) -> str:
    """Return the marks behind a name or a time; empty where nothing is to be said."""
    marks = {
        OVERSUBSCRIBED: row.oversubscribed,
        EMULATED: bool(row.emulated_network),
        SHARED: row.shared_compute,
        OVERLAP: row.overlap,
    }
    return "".join(sign for sign, applies in marks.items() if applies)


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


def time_notes(rows: Sequence[Timed]) -> dict[str, str]:
    """Return what the marks on rows mean, by mark, without that of oversubscription."""
    said = {EMULATED: emulated_note(rows)}
    if any(row.shared_compute for row in rows):
        said[SHARED] = (
            'compute = "shared": a rank computes a gradient once for all of its devices, '
            "so compute takes less time than the devices' gradients would"
        )
    if any(row.overlap for row in rows):
        said[OVERLAP] = (
            "overlap: messages arrive while the server works, so communication is only what "
            "no work hides"
        )
    return {sign: note for sign, note in said.items() if note}
