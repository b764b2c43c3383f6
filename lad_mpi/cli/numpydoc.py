"""The sections of docstrings in the numpydoc style."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

_UNDERLINE = re.compile(r"-{3,}\s*$")
_PARAMETER = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : .*)?$")
_MARKER = re.compile(r"^\.\. \[[^\]]+\]\s*")
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?([^`]*)`")
_LINK = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:(?:\([^\s)]*\)|[^\s,;()])+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Documentation:
    """The parts of a docstring; empty if it does not have them.

    Parameters
    ----------
    summary : str
        The first paragraph, on one line.
    parameters : dict of str to str
        Description of each parameter.
    notes : str
        The section Notes.
    references : tuple of str
        Entries of the section References, each on one line.
    """

    summary: str
    parameters: dict[str, str]
    notes: str
    references: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """Numbers of arXiv and DOIs in the references, in their order."""
        found = (_LINK.findall(reference) for reference in self.references)
        return tuple(link.rstrip(".") for links in found for link in links)


def read_docstring(cls: type[Any]) -> Documentation:
    """Read the docstring of a class."""
    text = inspect.getdoc(cls) or ""
    if text.startswith(f"{cls.__name__}("):
        # The docstring that a dataclass generates if its author wrote none.
        text = ""
    sections = _sections(text)
    return Documentation(
        summary=_on_one_line(sections[""].partition("\n\n")[0]),
        parameters=_parameters(sections.get("Parameters", "")),
        notes=without_markup(sections.get("Notes", "")),
        references=tuple(_references(sections.get("References", ""))),
    )


def without_markup(text: str) -> str:
    """Return text without the markup of reStructuredText."""
    text = _ROLE.sub(r"\1", text).replace("``", "")
    return text.replace(".. math::\n\n", "").replace(".. math:: ", "    ")


def _sections(text: str) -> dict[str, str]:
    """Split at underlined headers; the part before the first has an empty name."""
    names, lines = [""], [[""]]
    for line in text.splitlines():
        if _UNDERLINE.match(line) and lines[-1][-1].strip():
            names.append(lines[-1].pop().strip())
            lines.append([""])
        else:
            lines[-1].append(line)
    return dict(zip(names, ("\n".join(part).strip("\n") for part in lines), strict=True))


def _parameters(section: str) -> dict[str, str]:
    described: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section):
        head, _, body = entry.partition("\n")
        if match := _PARAMETER.match(head):
            text = _on_one_line(textwrap.dedent(body))
            described |= dict.fromkeys(match["names"].split(", "), text)
    return described


def _references(section: str) -> list[str]:
    """Split into entries: one ends with a full stop, or before a marker or a blank line."""
    entries = [""]
    for line in section.splitlines():
        ended = entries[-1].endswith(".") or not line.strip() or _MARKER.match(line)
        if ended:
            entries.append("")
        entries[-1] = f"{entries[-1]} {_MARKER.sub('', line.strip())}".strip()
    return [without_markup(entry) for entry in entries if entry]


def _on_one_line(text: str) -> str:
    return without_markup(" ".join(text.split()))
