"""All figures of a collection, drawn and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

from analysis import style
from analysis.figures.convergence import against_bytes, against_iterations, against_seconds
from analysis.figures.load import error_against_load
from analysis.figures.phases import phase_times
from lad_mpi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from analysis.runs import Collection

#: Every figure by the name of its file. A function returns the figure and its
#: caption, or None where the runs have nothing to show in it.
FIGURES: dict[str, Callable[[Collection], tuple[Figure, str] | None]] = {
    "loss_against_iterations": against_iterations,
    "loss_against_seconds": against_seconds,
    "loss_against_uplink": against_bytes,
    "error_against_load": error_against_load,
    "phase_times": phase_times,
}

_CAPTIONS = "captions.md"


def save_figures(collection: Collection, folder: Path) -> list[Path]:
    """Draw all figures that the runs allow.

    Parameters
    ----------
    collection : Collection
        The runs.
    folder : Path
        Receives a PDF and a PNG a figure, and ``captions.md``; made if missing.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _save(collection, folder)
    except OSError as error:
        raise UsageError(f"cannot write figures to {folder}: {error.strerror or error}") from error


def _save(collection: Collection, folder: Path) -> list[Path]:
    written: list[Path] = []
    captions: list[str] = []
    with mpl.rc_context(style.SETTINGS):
        for name, draw in FIGURES.items():
            drawn = draw(collection)
            if drawn is None:
                continue
            figure, caption = drawn
            for suffix in ("pdf", "png"):
                path = folder / f"{name}.{suffix}"
                # Without a date the same runs give the same bytes.
                figure.savefig(path, metadata={"CreationDate": None} if suffix == "pdf" else None)
                written.append(path)
            captions.append(f"**{name}.** {caption}\n")
    (folder / _CAPTIONS).write_text("\n".join(captions), encoding="utf-8")
    return [*written, folder / _CAPTIONS]
