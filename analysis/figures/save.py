"""Draw and write all figures."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from analysis.figures import canvas
from analysis.figures.bars import phase_times
from analysis.figures.convergence import against_bytes, against_iterations, against_seconds
from analysis.figures.heatmap import draw_heatmap
from analysis.figures.load import error_against_load, metric_against_load
from analysis.figures.scaling import cost_along_axis, phases_and_bounds, speedup_and_efficiency
from analysis.metrics import choose_metrics
from lad_mpi.errors import UsageError
from lad_mpi.files import whole_file
from lad_mpi.metrics.names import LOSS
from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from analysis.heatmap import HeatMap
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

#: The formats of a figure, and those that are written if the user names none.
FORMATS = ("pdf", "png", "svg")
_USUAL = ("pdf", "png")
_CAPTIONS = "captions.md"
#: Without dates, the same runs give the same bytes.
_METADATA: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
#: Characters of a quantity, such as seconds_to:loss=0.1, that are awkward in a file name.
_UNSAFE = re.compile(r"[^\w.=-]+")
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


def save_figures(
    collection: Collection,
    folder: Path,
    metrics: Sequence[str] = (),
    formats: Sequence[str] = (),
) -> list[Path]:
    """Draw the figures of runs.

    Parameters
    ----------
    collection : Collection
        The runs.
    folder : Path
        Folder for the files of each figure, and for ``captions.md``. It is created if it is
        missing.
    metrics : sequence of str
        As for :func:`drawings_of`.
    formats : sequence of str
        Some of :data:`FORMATS`; PDF and PNG if there are none.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    UsageError
        The folder is not writable, or no log has one of the metrics.
    """
    return _save(drawings_of(collection, metrics), folder, formats)


def save_heatmap(
    heatmap: HeatMap, output: Path, formats: Sequence[str] = ()
) -> tuple[list[Path], str]:
    """Draw a heat map.

    Parameters
    ----------
    heatmap : HeatMap
        What it shows.
    output : Path
        A file whose suffix is one of :data:`FORMATS`, or a folder for
        ``heatmap_QUANTITY.FORMAT``. Folders are created.
    formats : sequence of str
        As for :func:`save_figures`; only for a folder.

    Returns
    -------
    written : list of Path
        The files that were written.
    caption : str
        The caption.

    Raises
    ------
    UsageError
        The files cannot be written, or formats are given for a file.
    """
    suffix = output.suffix.removeprefix(".")
    if suffix in FORMATS and not output.is_dir():
        if set(formats) - {suffix}:
            raise UsageError(
                f"the format of {output} is {suffix}, not {', '.join(formats)}",
                hint="leave out --format, or name a folder with -o",
            )
        folder, name, formats = output.parent, output.stem, (suffix,)
    else:
        folder, name = output, "heatmap_" + _UNSAFE.sub("_", heatmap.quantity.name)
    with _writing(folder), canvas.settings():
        figure, caption = draw_heatmap(heatmap)
        return _write_figure(figure, folder / name, formats), caption


def save_scaling_figures(
    study: ScalingStudy, rows: Sequence[CaseSummary], folder: Path
) -> list[Path]:
    """Draw the figures of a scaling study and its cases; see :func:`save_figures`."""
    return _save(
        {name: partial(draw, study, rows) for name, draw in SCALING_FIGURES.items()}, folder
    )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Create a folder, and say if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"cannot write figures to {folder}: {error.strerror or error}") from error


def _save(figures: Mapping[str, Drawing], folder: Path, formats: Sequence[str] = ()) -> list[Path]:
    written: list[Path] = []
    captions: list[str] = []
    with _writing(folder), canvas.settings():
        for name, draw in figures.items():
            drawn = draw()
            if drawn is None:
                continue
            figure, caption = drawn
            written += _write_figure(figure, folder / name, formats)
            captions.append(f"**{name}.** {_literal(caption)}\n")
        with whole_file(folder / _CAPTIONS, text=True) as stream:
            stream.write("\n".join(captions))
    return [*written, folder / _CAPTIONS]


def _write_figure(figure: Figure, stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in some formats, to a path without its suffix."""
    written = []
    for suffix in dict.fromkeys(formats or _USUAL):
        path = stem.with_name(f"{stem.name}.{suffix}")
        with whole_file(path) as stream:
            figure.savefig(stream, format=suffix, metadata=_METADATA.get(suffix))
        written.append(path)
    return written


def _literal(caption: str) -> str:
    """Escape a caption, so that Markdown shows the names in it unchanged."""
    return _MARKUP.sub(r"\\\g<0>", one_line(caption))
