"""Figures of matplotlib as SVG inside HTML, with the values that a reader can point at."""

from __future__ import annotations

import colorsys
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.container import BarContainer

from analysis.families import load_families, load_of
from analysis.figures import canvas
from analysis.figures.save import drawings_of
from analysis.text import significant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.runs import Collection

#: Labels that matplotlib gives to lines without one.
_AUTOMATIC = re.compile(r"_child[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+\.[0-9]+")
#: Largest number of points of a line that a reader can point at.
_MOST_POINTS = 200
_POINTS = 72
#: A colour with a smaller saturation is a grey.
_GREYISH = 0.15


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure for HTML.

    Parameters
    ----------
    name : str
        Name of the figure, and of its file in ``lad-mpi analysis figures``.
    caption : str
        Its caption.
    svg : Markup
        The figure.
    colors : set of str
        Its colours.
    panels : list of dict
        For each pair of axes: its place in the figure, its scales, and its lines.
    """

    name: str
    caption: str
    svg: Markup
    colors: set[str]
    panels: list[dict[str, Any]]


def draw(collection: Collection, metrics: Sequence[str]) -> Iterator[Drawing]:
    """Draw all figures of ``lad-mpi analysis figures``."""
    loads = {
        family.name: [load_of(method) or 0 for method in family.members]
        for family in load_families(collection)
    }
    with canvas.settings():
        for name, drawing in drawings_of(collection, metrics).items():
            drawn = drawing()
            if drawn is not None:
                figure, caption = drawn
                # The page says once what the heading repeats in each figure.
                figure.suptitle("")
                yield _converted(name, figure, caption, loads if "load" in name else {})


def dark_rules(drawings: Sequence[Drawing]) -> str:
    """Return rules of CSS that adapt the colours of figures to a dark page."""
    colors = sorted(set[str]().union(*(drawing.colors for drawing in drawings)))
    rules = [
        f'figure [{kind}="{color}"]{{{kind}:{_on_dark(color)}}}'
        for color in colors
        for kind in ("fill", "stroke")
    ]
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}\n"


def _converted(
    name: str, figure: Figure, caption: str, exact: Mapping[str, Sequence[float]]
) -> Drawing:
    """Convert a figure. ``exact`` has the places of lines that are drawn beside each other."""
    tips = _name_bars(figure, name)
    for number, axes in enumerate(figure.axes):
        for place, line in enumerate(axes.get_lines()):
            if not _AUTOMATIC.fullmatch(str(line.get_label())):
                line.set_gid(f"{name}-{number}-{place}")
    stream = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    # The layout is final once the figure is drawn.
    panels = [_panel(axes, exact) for axes in figure.axes]
    root = _inline(stream.getvalue(), name, tips)
    colors = {
        node.attrib[kind]
        for node in root.iter()
        for kind in ("fill", "stroke")
        if node.attrib.get(kind, "").startswith("#")
    }
    svg = Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  (ElementTree escapes texts)
    return Drawing(name, caption, svg, colors, panels)


def _name_bars(figure: Figure, name: str) -> dict[str, str]:
    """Give every bar an id; return what it shows by its id."""
    tips: dict[str, str] = {}
    for axes in figure.axes:
        rows = axes.get_yticks()
        names = [" ".join(label.get_text().split()) for label in axes.get_yticklabels()]
        for container in axes.containers:
            if not isinstance(container, BarContainer):
                continue
            for bar in container.patches:
                row = int(np.abs(rows - (bar.get_y() + bar.get_height() / 2)).argmin())
                bar.set_gid(f"{name}-bar-{len(tips)}")
                length = significant(bar.get_width(), 4)
                tips[str(bar.get_gid())] = f"{names[row]}\n{container.get_label()}: {length} ms"
    return tips


def _panel(axes: Axes, exact: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    width, height = axes.get_figure().get_size_inches() * _POINTS  # type: ignore[union-attr]
    box = axes.get_position()
    lines = [line for line in axes.get_lines() if line.get_gid()]
    return {
        "box": [
            _short(value)
            for value in (
                width * box.x0, height * (1 - box.y1), width * box.width, height * box.height
            )
        ],
        "x": [*map(float, axes.get_xlim()), axes.get_xscale() == "log"],
        "y": [*map(float, axes.get_ylim()), axes.get_yscale() == "log"],
        "title": axes.get_title(loc="left").replace("\n", " "),
        "lines": [
            _points(str(line.get_gid()), str(line.get_label()), line.get_xydata(), exact)
            for line in lines
        ],
    }  # fmt: skip


def _points(gid: str, label: str, points: Any, exact: Mapping[str, Sequence[float]]) -> Any:
    points = np.asarray(points, dtype=float)
    kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int))
    kept = kept[np.isfinite(points[kept]).all(axis=1)]
    x, y = ([_short(value) for value in points[kept, column]] for column in (0, 1))
    found = {"id": gid, "name": label, "x": x, "y": y}
    if len(exact.get(label, ())) == len(points):
        found["at"] = [exact[label][place] for place in kept]
    return found


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _inline(svg: bytes, name: str, tips: Mapping[str, str]) -> ET.Element:
    """Make an SVG file part of a page: no links, no styles, unique ids, fewer digits."""
    root = ET.fromstring(svg)  # noqa: S314  (matplotlib has just written it)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for node in root.iter():
        _simplify(node, name, tips)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        # A browser would show the element "title" over the values under the pointer.
        "aria-label": name.replace("_", " "),
        "aria-describedby": f"{name}-caption",
    }
    return root


def _simplify(node: ET.Element, name: str, tips: Mapping[str, str]) -> None:
    node.tag = node.tag.rpartition("}")[2]
    own = {key.rpartition("}")[2]: value for key, value in node.attrib.items()}
    gid = own.get("id", "")
    # A strict policy for contents forbids the attribute "style".
    for declaration in own.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        if key.strip() == "font":  # matplotlib before 3.9
            key, value = "font-size", value.split()[0]
        if key.strip() not in {"", "font-family"}:
            own[key.strip()] = value.strip()
    for key in ("d", "x", "y", "transform", "points"):
        if key in own:
            own[key] = " ".join(_NUMBER.sub(_rounded, own[key]).split())
    for key in ("clip-path", "href"):
        if key in own:
            own[key] = own[key].replace("#", f"#{name}-")
    if gid.startswith(f"{name}-"):
        own |= {"data-tip": tips[gid]} if gid in tips else {"class": "line"}
    elif gid and node.tag in {"clipPath", "path"}:
        own["id"] = f"{name}-{gid}"
    else:
        own.pop("id", None)
    node.attrib = own
    if node.tag not in {"text", "tspan"}:
        node.text = None
    node.tail = None


def _on_dark(color: str) -> str:
    """Return a colour for a dark page: greys are inverted, other colours are made lighter."""
    red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = 0.92 - 0.78 * light if saturation < _GREYISH else 0.36 + 0.54 * light
    channels = colorsys.hls_to_rgb(hue, light, 0.8 * saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
