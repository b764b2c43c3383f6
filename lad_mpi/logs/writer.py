"""Writing a log, on rank 0, so that a run that is killed at any moment leaves a readable file."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

import h5py
import numpy as np

from lad_mpi.errors import LadError, LogFormatError, RunFailedError, UsageError
from lad_mpi.files import name_of, new_draft, open_descriptor, put_in_place
from lad_mpi.hdf5 import reason
from lad_mpi.logs import contents, schema
from lad_mpi.logs.carry import Continuation, carry_over, ranks_of
from lad_mpi.logs.datasets import (
    create_growing,
    create_state,
    text,
    write_attributes,
)
from lad_mpi.logs.find import open_log
from lad_mpi.logs.lock import OutputLock, WriterMark, real_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from lad_mpi.logs.log import Axes, FinalState, LogBlock, RunHeader
    from lad_mpi.types import HostFloats

_ON_ITERATION = ("metrics", "timing", "traffic")


class LogWriter:
    """An open log.

    Used as a context manager it marks the log as failed, with the message,
    when an exception leaves the block, and as interrupted on Ctrl-C.

    Parameters
    ----------
    path : Path
        The file, or a symbolic link to it; missing folders are made.
    header : RunHeader
        Names, spec and provenance.
    axes : Axes
        Ranks, phases and metrics.
    dimension : int
        Q, number of model parameters.
    dtype : numpy.dtype
        Of the model.
    swmr : bool
        Write in HDF5's single-writer/multiple-readers mode, so that the file can
        be read while it grows and after a kill at any moment. Without it a kill
        in the middle of a write may lose the file.
    overwrite : bool
        Replace an existing file. The old one stays until the new one is there.
    continuation : Continuation, optional
        Go on with the existing file, of which so many iterations are kept.
    lock : OutputLock, optional
        The right to write ``path``, which the caller holds and releases; without
        it the writer takes one of its own until the log is closed.

    Attributes
    ----------
    path : Path
        The file itself, where symbolic links lead.
    uuid : str
        The run's own id; a run that goes on keeps it.

    Raises
    ------
    UsageError
        The file exists and is neither to be replaced nor continued, another run
        writes it, or it cannot be created.
    LogFormatError
        The file to be continued cannot be read, or has other phases.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: RunHeader,
        axes: Axes,
        dimension: int,
        dtype: np.dtype[Any],
        swmr: bool = True,
        overwrite: bool = False,
        continuation: Continuation | None = None,
        lock: OutputLock | None = None,
    ) -> None:
        self.path = real_path(path)
        self._model = ((dimension,), np.dtype(dtype))
        # Without SWMR the older format is the safer one: it has no mark of an
        # open file, which would make a killed one unreadable.
        self._libver = "latest" if swmr else "v108"
        self._rows = 0
        self._file: Any = None
        self._own_lock: OutputLock | None = None
        self._mark: WriterMark | None = None
        self._draft: Path | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if lock is None:
                self._own_lock = OutputLock(self.path)
            # Looked at under the lock: whoever held it before may have made the file.
            self._check_free(replaces=overwrite or continuation is not None)
            self._file = self._create(header, axes, continuation)
            if swmr:
                # Before it has its name: a log must be readable from the first moment on.
                self._file.swmr_mode = True
            self.sync()
            self._mark = WriterMark(self._file.id.get_vfd_handle())
            self._put_in_place()
        except BaseException as error:
            self._give_up()
            if isinstance(error, contents.MalformedError):
                raise LogFormatError(f"{self.path} is damaged: {error}") from error
            if not isinstance(error, (OSError, RuntimeError)):
                raise
            raise UsageError(
                f"cannot create the log {self.path}: {reason(error)}",
                hint="give an output in a folder that can be written with -o",
            ) from error

    def append(self, block: LogBlock) -> None:
        """Write the rows of consecutive iterations and flush them.

        Raises
        ------
        ValueError
            The block does not follow the last one, or does not have the log's shape.
        RunFailedError
            The file cannot be written, for instance because the disk is full, or is
            no longer there.
        """
        if not self._file:
            raise ValueError(f"the log {self.path} is closed")
        rows = len(block.seconds)
        columns = self._columns(block, rows)
        iterations = np.arange(self._rows, self._rows + rows)
        scales = {f"/{group}/{schema.ITERATION.name}": iterations for group in _ON_ITERATION}
        with self._writing():
            self._check_place()
            self._extend(columns)
            # Only when the rows are safe do the scales say that they are there.
            self._extend(scales)
        self._rows += rows

    def sync(self) -> None:
        """Bring what was written to the disk, so that a loss of power cannot take it back.

        Raises
        ------
        RunFailedError
            The disk does not take it.
        """
        with self._writing():
            os.fsync(self._file.id.get_vfd_handle())

    def finish(self, status: str, *, failure: str = "", state: FinalState | None = None) -> None:
        """Close the log with the outcome of the run.

        In SWMR mode neither datasets nor attributes can be added, and a file that
        is opened again for that is unreadable should the process be killed just
        then. So they go into a copy, which takes the place of the log in one step.

        Parameters
        ----------
        status : {"complete", "interrupted", "failed"}
            The outcome.
        failure : str
            Why it failed or was interrupted.
        state : FinalState, optional
            The last model; a complete run must give it.

        Raises
        ------
        ValueError
            The status is none of these, a complete run has no state, or the model is
            not of the log's shape and dtype.
        RunFailedError
            The file cannot be written.
        """
        if status not in schema.STATUSES[1:]:
            raise ValueError(f"status must be one of {schema.STATUSES[1:]}, not {status!r}")
        if status == "complete" and state is None:
            raise ValueError("a complete run must give its final state")
        if state is not None and (state.model.shape, state.model.dtype) != self._model:
            raise ValueError(
                f"the final model must be {self._model}, "
                f"not {(state.model.shape, state.model.dtype)}"
            )
        with self._writing():
            self._check_place()
            with os.fdopen(os.dup(self._file.id.get_vfd_handle()), "rb") as written:
                self._file.close()
                descriptor = self._open_draft()
                _copy(written, descriptor)
            self._file = _open_again(descriptor, "r+", self._libver)
            if state is not None:
                create_state(self._file, state, self._metrics)
            self._file.attrs["failure"] = text(failure)
            self._file.attrs["status"] = status
            # A flush may fail and leave a file that can be closed; a close may not.
            self._file.flush()
            self.sync()
            self._file.close()
            self._put_in_place()
        self._release()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Mark a log that was not finished with what ended it."""
        if not self._file:
            return
        if error is None:
            self.finish("failed", failure="the run ended without finishing its log")
            return
        # The first error is the one to be seen.
        with contextlib.suppress(LadError):
            if isinstance(error, KeyboardInterrupt):
                self.finish("interrupted")
            else:
                message = getattr(error, "message", "") or str(error)
                self.finish("failed", failure=message or type(error).__name__)

    def _check_free(self, *, replaces: bool) -> None:
        if self.path.exists() and not replaces:
            raise UsageError(
                f"{self.path} exists already",
                hint="give another output with -o, or replace it with --overwrite",
            )

    def _create(self, header: RunHeader, axes: Axes, continuation: Continuation | None) -> Any:
        """Make the draft of the log, with the rows that are carried over."""
        with contextlib.ExitStack() as stack:
            earlier, launched = None, axes.ranks
            if continuation is not None:
                earlier = stack.enter_context(open_log(self.path))
                axes = replace(axes, ranks=max(axes.ranks, ranks_of(earlier, axes.phases)))
            self.uuid = str(uuid.uuid4()) if earlier is None else contents.text(earlier, "uuid")
            self._file = _open_again(self._open_draft(), "w", self._libver)
            write_attributes(
                self._file,
                {
                    "format": schema.FORMAT,
                    "format_version": schema.VERSION,
                    "uuid": self.uuid,
                    "status": schema.STATUSES[0],
                    "failure": "",
                    "names": list(header.names),
                    "spec": header.spec_toml,
                    "identity": header.identity,
                    "data_digest": header.data_digest,
                    "packages": list(header.packages),
                    "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                },
            )
            launch = {
                "first_iteration": 0 if continuation is None else continuation.rows,
                "mpi_ranks": launched,
            }
            provenance = self._file.create_group("provenance")
            write_attributes(provenance, {**header.provenance, **launch})
            self._growing = create_growing(self._file, axes)
            self._metrics = axes.metrics
            self._shape = (axes.ranks, len(axes.phases))
            if earlier is not None and continuation is not None:
                carry_over(earlier, self._file, self._growing, continuation.rows)
                self._rows = continuation.rows
            self._file.flush()
            return self._file

    def _open_draft(self) -> int:
        self._draft, descriptor = new_draft(self.path)
        return descriptor

    def _put_in_place(self) -> None:
        if self._draft is not None:
            put_in_place(self._draft, self.path)
            self._draft = None

    def _columns(self, block: LogBlock, rows: int) -> dict[str, Any]:
        if block.first_iteration != self._rows:
            raise ValueError(
                f"the block starts at iteration {block.first_iteration}, "
                f"but the log ends before iteration {self._rows}"
            )
        columns: dict[str, Any] = {
            f"/metrics/{name}": values for name, values in block.metrics.items()
        }
        columns[f"/metrics/{schema.REFUSALS.name}"] = block.refusals
        columns |= {f"/traffic/{name}": values for name, values in block.traffic.items()}
        columns["/timing/seconds"] = _widened(block.seconds, self._shape[0])
        wrong = columns.keys() ^ {
            name for name in self._growing if not name.endswith(f"/{schema.ITERATION.name}")
        }
        if wrong:
            raise ValueError(
                f"a block must have exactly the datasets of the schema; see {sorted(wrong)}"
            )
        for name, values in columns.items():
            expected = (rows, *self._growing[name].row_shape)
            if np.shape(values) != expected:
                raise ValueError(f"{name} must have shape {expected}, not {np.shape(values)}")
        return columns

    def _extend(self, columns: Mapping[str, Any]) -> None:
        for name, values in columns.items():
            self._growing[name].put(self._rows, values)
        self._file.flush()

    def _check_place(self) -> None:
        """Refuse to write on into a file that has lost its name, and so is lost."""
        try:
            ours = os.fstat(self._file.id.get_vfd_handle())
            there = os.path.samestat(self.path.stat(), ours)
        except OSError:
            there = False
        if not there:
            # What has our name by now belongs to others.
            self._abandon()
            self._release()
            raise RunFailedError(
                f"the log {self.path} is gone: it or its folder was removed or replaced "
                "while the run wrote to it",
                hint="keep the folder of the results until the run has ended",
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._file:
            raise ValueError(f"the log {self.path} is closed")
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._give_up()
            raise RunFailedError(
                f"cannot write the log {self.path}: {reason(error)}",
                hint="see that the disk is not full and the quota not used up; "
                "what was written before can be read",
            ) from error

    def _give_up(self) -> None:
        """Close what can no longer be written, leaving the log as it is on disk."""
        self._abandon()
        if self._draft is not None:
            with contextlib.suppress(OSError):
                self._draft.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._mark is not None:
            self._mark.release()
            self._mark = None
        if self._own_lock is not None:
            self._own_lock.release()
            self._own_lock = None

    def _abandon(self) -> None:
        """Close a file that can no longer be written, leaving it as it is on disk."""
        if not self._file:
            return
        with contextlib.suppress(OSError, RuntimeError):
            # A hole at the end takes no space and spares readers a truncated file.
            os.ftruncate(self._file.id.get_vfd_handle(), self._file.id.get_filesize())
        with contextlib.suppress(OSError, RuntimeError):
            # HDF5 crashes the process at exit if it cannot close a file, so it gets
            # a copy in memory to close.
            if hasattr(os, "memfd_create"):
                descriptor = self._file.id.get_vfd_handle()
                # By descriptor: the name may be gone, or be that of another file.
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    memory = os.memfd_create(self.path.name)
                    os.dup2(memory, descriptor)
                    file.seek(0)
                    with os.fdopen(memory, "wb") as copy:
                        shutil.copyfileobj(file, copy)
            self._file.close()


def relabel(path: Path, names: Sequence[str]) -> None:
    """Give a log of a run that has ended other labels, in one step.

    Raises
    ------
    UsageError
        A run writes it, or it cannot be written.
    """
    path = real_path(path)
    draft = None
    try:
        with OutputLock(path):
            # Looked through before it is opened for writing.
            open_log(path).close()
            draft, descriptor = new_draft(path)
            with os.fdopen(open_descriptor(path, os.O_RDONLY), "rb") as written:
                _copy(written, descriptor)
            with _open_again(descriptor, "r+") as file:
                write_attributes(file, {"names": list(names)})
            put_in_place(draft, path)
    except (OSError, RuntimeError) as error:
        if draft is not None:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        raise UsageError(f"cannot rename the run in {path}: {reason(error)}") from error


def _copy(written: IO[bytes], descriptor: int) -> None:
    """Copy a whole file."""
    written.seek(0)
    with os.fdopen(os.dup(descriptor), "wb") as copy:
        shutil.copyfileobj(written, copy)


def _open_again(descriptor: int, mode: str, libver: str | None = None) -> Any:
    """Have HDF5 open a file that is open, and not one that has come under its name since."""
    try:
        return h5py.File(name_of(descriptor), mode, libver=libver)
    finally:
        os.close(descriptor)


def _widened(seconds: HostFloats, ranks: int) -> HostFloats:
    missing = ranks - seconds.shape[1]
    if missing <= 0:
        return seconds
    return np.pad(seconds, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)
