"""How figures look: one colour and line for a method, wherever it appears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.runs import natural_key

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Colours that the colour-blind can tell apart (Okabe and Ito, "Color universal
#: design", 2008), without the yellow, which is too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")

#: Colours of phases, paler than those of methods so that neither is taken for
#: the other (Tol, "Colour schemes", light scheme).
PHASE_COLORS = (
    "#77AADD",
    "#99DDFF",
    "#44BB99",
    "#BBCC33",
    "#EEDD88",
    "#EE8866",
    "#FFAABB",
    "#AAAA00",
)
REST_COLOR = "#DDDDDD"
GREY = "#666666"

#: Width in inches of a figure across the page of a paper.
WIDTH = 6.9

SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "figure.constrained_layout.use": True,
    # Text stays text in a PDF.
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a method is drawn.

    Parameters
    ----------
    color : str
        Hexadecimal colour.
    line : str
        Line style of matplotlib.
    layer : int
        Broken lines lie above whole ones, so that neither hides the other.
    """

    color: str
    line: str
    layer: int


def phase_colors(phases: Iterable[str], rest: str) -> dict[str, str]:
    """Give each phase its colour, by its place among those that are not the ``rest``."""
    names = list(phases)
    places = {name: place for place, name in enumerate(name for name in names if name != rest)}
    return {
        name: REST_COLOR if name == rest else PHASE_COLORS[places[name] % len(PHASE_COLORS)]
        for name in names
    }


def method_styles(labels: Iterable[str]) -> dict[str, Style]:
    """Give each method its colour, and a line style once all colours are taken.

    It depends on the labels alone, not on their order.
    """
    ordered = sorted(set(labels), key=natural_key)
    styles: dict[str, Style] = {}
    for place, label in enumerate(ordered):
        turn = place // len(COLORS) % len(LINES)
        styles[label] = Style(COLORS[place % len(COLORS)], LINES[turn], layer=turn)
    return styles
