"""The style of figures: colours for rules, shades for loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.runs import natural_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Colours that colour-blind readers can distinguish (Okabe and Ito, "Color universal
#: design", 2008), without yellow, which is too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h")
#: Colours for ascending loads if there is only one rule (from Viridis, without yellow).
RAMP = ("#A0DA39", "#1FA187", "#365C8D", "#440154")
_LIGHTER, _DARKER = 0.4, 0.6

#: Colours of phases. They are paler than those of methods, so that the two are not confused
#: (Tol, "Colour schemes", light scheme).
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
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "figure.constrained_layout.use": True,
    # Embed fonts, so that text in a PDF can be selected.
    "pdf.fonttype": 42,
    # Otherwise the names of parts differ each time.
    "svg.hashsalt": "lad_mpi",
    "savefig.dpi": 200,
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a line is drawn.

    Parameters
    ----------
    color : str
        Hexadecimal colour.
    line : str
        Line style of matplotlib.
    marker : str
        Marker of matplotlib, if the line has markers.
    layer : int
        Drawing order. Broken lines are above solid ones, so that both stay visible.
    """

    color: str
    line: str
    marker: str
    layer: int


def phase_colors(phases: Iterable[str], rest: str) -> dict[str, str]:
    """Assign colours to phases in order, and grey to the ``rest``."""
    names = list(phases)
    places = {name: place for place, name in enumerate(name for name in names if name != rest)}
    return {
        name: REST_COLOR if name == rest else PHASE_COLORS[places[name] % len(PHASE_COLORS)]
        for name in names
    }


def line_styles(
    names: Iterable[tuple[str, int | None]], rules: Sequence[str] = ()
) -> dict[tuple[str, int | None], Style]:
    """Assign a colour and a marker to each rule, and a shade to each load, darker for higher loads.

    If there are more rules than colours, further lines are broken. So are lines without a
    load if others have one. A single rule has the colours of ``RAMP``, which differ more than
    shades of one colour.

    Parameters
    ----------
    names : iterable of (str, int or None)
        Rule and load of every line.
    rules : sequence of str
        The rules in the order of their colours (default: natural order).
    """
    lines = set(names)
    rules = rules or sorted({rule for rule, _ in lines}, key=natural_key)
    loads = sorted({load for _, load in lines if load is not None})
    styles: dict[tuple[str, int | None], Style] = {}
    for rule, load in lines:
        place = rules.index(rule)
        broken = load is None and bool(loads)
        turn = (place // len(COLORS) + broken) % len(LINES)
        color = COLORS[place % len(COLORS)]
        if load is not None and len(loads) > 1:
            share = loads.index(load) / (len(loads) - 1)
            color = _between(RAMP, share) if len(rules) == 1 else _between(_shades(color), share)
        styles[rule, load] = Style(color, LINES[turn], MARKERS[place % len(MARKERS)], turn)
    return styles


def _shades(color: str) -> tuple[str, str, str]:
    """Return a lighter shade, the colour, and a darker shade."""
    return _mixed(color, "#FFFFFF", _LIGHTER), color, _mixed(color, "#000000", _DARKER)


def _between(colors: Sequence[str], share: float) -> str:
    """Interpolate in a sequence of colours, from 0 for the first to 1 for the last."""
    way = share * (len(colors) - 1)
    place = min(int(way), len(colors) - 2)
    return _mixed(colors[place], colors[place + 1], way - place)


def _mixed(color: str, other: str, share: float) -> str:
    pairs = [(int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)
