"""Draw and write all figures."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from analysis.figures import canvas
from analysis.figures.bars import phase_times
from analysis.figures.convergence import against_bytes, against_iterations, against_seconds
from analysis.figures.load import error_against_load, metric_against_load
from analysis.figures.scaling import cost_along_axis, phases_and_bounds, speedup_and_efficiency
from analysis.metrics import choose_metrics
from lad_mpi.errors import UsageError
from lad_mpi.files import whole_file
from lad_mpi.metrics.names import LOSS
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from analysis.runs import Collection
    from analysis.scaling.load import ScalingStudy
    from analysis.scaling.summary import CaseSummary
    from lad_mpi.types import Metric

    Drawing = Callable[[], tuple[Figure, str] | None]

#: Figures of a metric, by the names of their files after that of the metric. A function returns
#: the figure and its caption, or None if the runs have nothing to show in it.
METRIC_FIGURES: dict[str, Callable[[Collection, Metric], tuple[Figure, str] | None]] = {
    "against_iterations": against_iterations,
    "against_seconds": against_seconds,
    "against_uplink": against_bytes,
    "against_load": metric_against_load,
}

#: Figures of a scaling study.
SCALING_FIGURES: dict[
    str, Callable[[ScalingStudy, Sequence[CaseSummary]], tuple[Figure, str] | None]
] = {
    "speedup_and_efficiency": speedup_and_efficiency,
    "phases_and_bounds": phases_and_bounds,
    "cost_along_axis": cost_along_axis,
}

_CAPTIONS = "captions.md"
#: Markup for emphasis, links, formulae or HTML in Markdown.
_MARKUP = re.compile(r"[\\`*_\[\]<>&|~$@]|(?=://)|(?<=\bwww)(?=\.)")


def drawings_of(collection: Collection, metrics: Sequence[str] = ()) -> dict[str, Drawing]:
    """Return the figures of runs, by the names of their files.

    Parameters
    ----------
    collection : Collection
        The runs.
    metrics : sequence of str
        Names of metrics; those of :data:`~analysis.metrics.SHOWN` if there are none.

    Raises
    ------
    UsageError
        No log has one of the metrics.
    """
    drawings: dict[str, Drawing] = {}
    for metric in choose_metrics(collection.runs, metrics):
        for name, draw in METRIC_FIGURES.items():
            drawings[f"{metric.name}_{name}"] = partial(draw, collection, metric)
        if metric.name == LOSS:
            # Here the loss is shown beside the errors of the messages.
            del drawings[f"{LOSS}_against_load"]
            drawings["error_against_load"] = partial(error_against_load, collection, metric)
    return {**drawings, "phase_times": partial(phase_times, collection)}


def save_figures(collection: Collection, folder: Path, metrics: Sequence[str] = ()) -> list[Path]:
    """Draw the figures of runs.

    Parameters
    ----------
    collection : Collection
        The runs.
    folder : Path
        Folder for a PDF and a PNG of each figure, and for ``captions.md``. It is created if it
        is missing.
    metrics : sequence of str
        As for :func:`drawings_of`.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    UsageError
        The folder is not writable, or no log has one of the metrics.
    """
    return _save(drawings_of(collection, metrics), folder)


def save_scaling_figures(
    study: ScalingStudy, rows: Sequence[CaseSummary], folder: Path
) -> list[Path]:
    """Draw the figures of a scaling study and its cases; see :func:`save_figures`."""
    return _save(
        {name: partial(draw, study, rows) for name, draw in SCALING_FIGURES.items()}, folder
    )


def _save(figures: Mapping[str, Drawing], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(figures, folder)
    except OSError as error:
        raise UsageError(f"cannot write figures to {folder}: {error.strerror or error}") from error


def _write(figures: Mapping[str, Drawing], folder: Path) -> list[Path]:
    written: list[Path] = []
    captions: list[str] = []
    with canvas.settings():
        for name, draw in figures.items():
            drawn = draw()
            if drawn is None:
                continue
            figure, caption = drawn
            for suffix in ("pdf", "png"):
                path = folder / f"{name}.{suffix}"
                # Without a date, the same runs give the same bytes.
                metadata = {"CreationDate": None} if suffix == "pdf" else None
                with whole_file(path) as stream:
                    figure.savefig(stream, format=suffix, metadata=metadata)
                written.append(path)
            captions.append(f"**{name}.** {_literal(caption)}\n")
    with whole_file(folder / _CAPTIONS, text=True) as stream:
        stream.write("\n".join(captions))
    return [*written, folder / _CAPTIONS]


def _literal(caption: str) -> str:
    """Escape a caption, so that Markdown shows the names in it unchanged."""
    return _MARKUP.sub(r"\\\g<0>", one_line(caption))
