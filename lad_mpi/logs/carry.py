"""Copy the records of an interrupted run into a new log that continues it.

A log whose writer was killed cannot be opened for writing, and rows after the checkpoint
must be dropped. So a continued run writes a new file, which copies the kept records and
then replaces the old file atomically.
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
    """Request to continue an existing log.

    Parameters
    ----------
    rows : int
        Number of iterations of the existing log to keep.
    """

    rows: int


def ranks_of(earlier: h5py.File, phases: Sequence[str]) -> int:
    """Return the number of ranks in a log.

    Raises
    ------
    LogFormatError
        The log has other phases, so its times cannot be continued.
    """
    timing = contents.group(earlier, "timing")
    found = contents.words(timing, schema.PHASE.name)
    if found != tuple(phases):
        raise LogFormatError(
            f"the log has the phases {', '.join(found)}, this release {', '.join(phases)}",
            hint="resume with the release that wrote it, or start again with --overwrite",
        )
    return len(contents.integers(timing, schema.RANK.name, 1))


def carry_over(
    earlier: h5py.File, file: h5py.File, growing: Mapping[str, GrowingDataset], rows: int
) -> None:
    """Copy the first rows, the date of creation and the launches of a log into a new log.

    Parameters
    ----------
    earlier, file : h5py.File
        The old log and the new log.
    growing : mapping of str to GrowingDataset
        Datasets of the new log by path. Their rows are at least as wide as the old ones.
    rows : int
        Number of iterations to keep.

    Raises
    ------
    MalformedError
        The old log has fewer rows or is damaged.
    LogFormatError
        The old log lacks a dataset.
    """
    if growing.keys() - {item.name for item in _datasets(earlier)}:
        raise LogFormatError(
            "the log does not have the metrics that this release records",
            hint="resume with the release that wrote it, or start again with --overwrite",
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
    for number, launch in enumerate(contents.launch_groups(earlier)):
        group = provenance.create_group(f"launch_{number}")
        write_attributes(group, contents.provenance(launch))


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    groups = (contents.group(file, name) for name in ("metrics", "timing", "traffic"))
    return [item for group in groups for item in group.values()]
