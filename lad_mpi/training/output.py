"""Open the output of a run: lock it, check an existing log, find the checkpoint to start from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.files import longest_name
from lad_mpi.logs import OutputLock, is_log, read_head, read_log, real_path
from lad_mpi.spec import UNREADABLE_DATA, identify, identity_of
from lad_mpi.training.checkpoint import Checkpoints
from lad_mpi.training.outcome import Existing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import LogHead
    from lad_mpi.spec import Identity, Spec
    from lad_mpi.training.checkpoint import ArrayLayout, Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The log file of a run and the checkpoint to start from; on the server.

    Parameters
    ----------
    path : Path
        The log file itself, with symbolic links resolved.
    identity : Identity
        Identity of the run.
    names : tuple of str
        Labels for the log.
    lock : OutputLock
        The lock of the log, held until the run has ended.
    replaces : bool
        Whether to replace an existing log.
    earlier : LogHead or None
        The log to continue.
    checkpoint : Checkpoint or None
        The state to continue from; None to start from the beginning.
    is_complete : bool
        Whether the run is already complete.
    notes : tuple of str
        Notes for the user.
    """

    path: Path
    identity: Identity
    names: tuple[str, ...]
    lock: OutputLock
    replaces: bool = False
    earlier: LogHead | None = None
    checkpoint: Checkpoint | None = None
    is_complete: bool = False
    notes: tuple[str, ...] = ()

    @property
    def first_iteration(self) -> int:
        """Number of iterations that are already complete."""
        return 0 if self.checkpoint is None else self.checkpoint.iterations


def open_output(path: Path, spec: Spec, existing: Existing, names: Sequence[str] = ()) -> Output:
    """Lock a log for writing, and decide what to do if it already exists.

    To continue a log, call :func:`pick_checkpoint` next.

    Parameters
    ----------
    path : Path
        The log file, or a symbolic link to it.
    spec : Spec
        The run.
    existing : Existing
        What to do if the log already exists.
    names : sequence of str
        Labels for the log; by default the name of the spec.

    Raises
    ------
    UsageError
        Another run writes the log, the log already exists, cannot be written, or belongs
        to another run.
    DataError
        The run would continue, but its data cannot be read.
    """
    _check_link(path)
    path = real_path(path)
    _check_writable(path, spec.iterations)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = OutputLock(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or path}: {error.strerror}",
            hint="use -o to write to a folder where you can create files",
        ) from error
    try:
        output = Output(path, identify(spec), tuple(names) or (spec.name,), lock)
        output = _check_existing(output, spec, existing)
        if lock.is_held:
            return output
        note = f"the file system of {path} has no locks: make sure no other run writes to it"
        return replace(output, notes=(note, *output.notes))
    except BaseException:
        lock.release()
        raise


def _check_link(output: Path) -> None:
    """Refuse a symbolic link that could overwrite a file by mistake."""
    try:
        if not output.is_symlink():
            return
        is_foreign = output.lstat().st_uid not in {0, os.geteuid()}
        is_other = not is_log(output)
    except (OSError, ValueError):
        return
    if is_foreign or is_other:
        what = (
            "a link that belongs to another user"
            if is_foreign
            else "a link to a file that is not a log"
        )
        raise UsageError(
            f"cannot write {output}: it is {what}",
            hint=f"it leads to {real_path(output)}: remove it, or use another output with -o",
        )


def _check_writable(output: Path, iterations: int) -> None:
    try:
        folder = next(folder for folder in output.absolute().parents if folder.exists())
        _check_length(output, folder, iterations)
        output.exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"cannot write {output}: {reason}",
            hint="use -o to choose another name, or a folder where you can create files",
        ) from error
    if output.exists() and not output.is_file():
        what = "a folder" if output.is_dir() else "not a regular file"
        raise UsageError(
            f"cannot write {output}: it is {what}", hint="use -o to choose a file name"
        )
    if not folder.is_dir():
        raise UsageError(f"cannot write {output}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot write {output}: {folder} is not writable",
            hint="use -o to write to a folder where you can create files",
        )


def _check_length(output: Path, folder: Path, iterations: int) -> None:
    """Refuse an output if names of its checkpoints would be too long."""
    longest = longest_name(Checkpoints(output).path(iterations))
    # PC_PATH_MAX includes the zero byte at the end.
    for kind, text, most in (
        ("name", longest.name, os.pathconf(folder, "PC_NAME_MAX")),
        ("path", str(longest), os.pathconf(folder, "PC_PATH_MAX") - 1),
    ):
        excess = len(os.fsencode(text)) - most
        if excess > 0:
            raise UsageError(
                f"cannot write {output}: the {kind} of its checkpoints would be too long for the "
                f"file system, which allows {most} bytes",
                hint=f"use -o to choose a {kind} that is {excess} bytes shorter",
            )


def _check_existing(output: Output, spec: Spec, existing: Existing) -> Output:
    if not output.path.exists():
        if existing == Existing.RESUME:
            return replace(output, notes=("there is no log yet: starting the run",))
        return output
    if existing == Existing.REPLACE:
        return replace(output, replaces=True)
    if existing == Existing.REFUSE:
        raise UsageError(
            f"{output.path} already exists",
            hint="continue it with --resume, replace it with --overwrite, or choose another "
            "output with -o",
        )
    return _resume(output, spec)


def _resume(output: Output, spec: Spec) -> Output:
    path = output.path
    try:
        log = read_head(path)
        if log.status != "complete":
            # The log will be copied, so read all of it before writing anything.
            read_log(path)
    except LogFormatError as error:
        raise UsageError(
            f"cannot resume: {error.message}",
            hint="the file is kept: move it away, or replace it with --overwrite",
        ) from error
    if output.identity.data_digest == UNREADABLE_DATA:
        # Raise the error of the data, which is clearer than a difference of digests.
        spec.data.digest()
    earlier = identity_of(log.spec, log.data_digest, log.packages)
    if differences := output.identity.differences(earlier):
        raise UsageError(
            f"cannot resume: {path} is the log of another run:\n  " + "\n  ".join(differences),
            hint="choose another output with -o, or replace the log with --overwrite; "
            "lad-mpi show --spec prints the spec of the log",
        )
    if log.status == "complete":
        Checkpoints(path).clear()
        return replace(output, is_complete=True, notes=(f"{path} is already complete",))
    return replace(output, earlier=log)


def pick_checkpoint(output: Output, arrays: Mapping[str, ArrayLayout]) -> Output:
    """Find the checkpoint from which a log is continued.

    Parameters
    ----------
    output : Output
        The log.
    arrays : mapping
        Expected layout of the arrays; see :meth:`Checkpoints.load`.

    Returns
    -------
    Output
        The output with its checkpoint, and notes about it.

    Raises
    ------
    UsageError
        The log is a hard link without checkpoints in its own folder.
    RunFailedError
        The file system failed to read a checkpoint.
    """
    log = output.earlier
    if log is None:
        return replace(output, notes=())
    checkpoint, notes = Checkpoints(output.path).load(log, arrays)
    if checkpoint is None and log.recorded and output.path.stat().st_nlink > 1:
        raise UsageError(
            f"cannot resume: {output.path} has no checkpoints, but the file has another hard "
            "link, and the checkpoints may be there",
            hint="resume it by its other name, or start again with --overwrite",
        )
    if checkpoint is None:
        notes.append("there is no checkpoint: starting the run again")
    else:
        done, total = checkpoint.iterations, log.spec["iterations"]
        notes.append(f"continuing after {done} of {total} iterations")
    return replace(output, checkpoint=checkpoint, notes=tuple(notes))
