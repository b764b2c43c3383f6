"""Carrying the records of an interrupted run over into the log that goes on with it.

A log whose writer was killed cannot be opened for writing, and rows behind the
checkpoint have to go. So the log that goes on is a new file, which takes over
what counts and then replaces the old one in one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import LogFormatError
from lad_mpi.logs import contents, schema
from lad_mpi.logs.datasets import write_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import h5py

    from lad_mpi.logs.datasets import GrowingDataset

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Continuation:
    """From where a log goes on.

    Parameters
    ----------
    rows : int
        Iterations of the existing log that are kept.
    """

    rows: int


def ranks_of(earlier: h5py.File, phases: Sequence[str]) -> int:
    """Return for how many ranks a log has times.

    Raises
    ------
    LogFormatError
        It has other phases, so that its times cannot be continued.
    """
    timing = contents.group(earlier, "timing")
    found = contents.words(timing, schema.PHASE.name)
    if found != tuple(phases):
        raise LogFormatError(
            f"the log has the phases {', '.join(found)}, this release {', '.join(phases)}",
            hint="resume with the release that wrote it, or start over with --overwrite",
        )
    return len(contents.integers(timing, schema.RANK.name, 1))


def carry_over(
    earlier: h5py.File, file: h5py.File, growing: Mapping[str, GrowingDataset], rows: int
) -> None:
    """Copy the first rows of a log and what names the run into a new log.

    Parameters
    ----------
    earlier, file : h5py.File
        The old log and the new one, whose attributes are written.
    growing : mapping
        Datasets of the new log, by their paths; at least as wide as the old ones.
    rows : int
        Iterations that are kept.

    Raises
    ------
    MalformedError
        The old log has fewer rows, or is damaged.
    LogFormatError
        It lacks a dataset.
    """
    if growing.keys() - {item.name for item in _datasets(earlier)}:
        raise LogFormatError(
            "the log has other metrics than this release records",
            hint="resume with the release that wrote it, or start over with --overwrite",
        )
    for name, dataset in growing.items():
        source = contents.numbers(earlier, name.lstrip("/"), 1 + len(dataset.row_shape))
        if len(source) < rows or any(map(int.__gt__, source.shape[1:], dataset.row_shape)):
            raise contents.MalformedError(
                f"{name} has shape {source.shape}; expected {rows} iterations of at most "
                f"{dataset.row_shape}"
            )
        for start in range(0, rows, _ROWS_AT_ONCE):
            dataset.put(start, source[start : min(start + _ROWS_AT_ONCE, rows)])
    write_attributes(file, {"created": contents.text(earlier, "created")})
    provenance = file["provenance"]
    # Kept as launch_0, launch_1, ….
    for number, launch in enumerate(contents.launch_groups(earlier)):
        group = provenance.create_group(f"launch_{number}")
        write_attributes(group, contents.provenance(launch))


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    groups = (contents.group(file, name) for name in ("metrics", "timing", "traffic"))
    return [item for group in groups for item in group.values()]
