"""From what point a run starts: the beginning, or where an earlier launch was interrupted."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.files import longest_name
from lad_mpi.logs import OutputLock, is_log, read_head, read_log, real_path
from lad_mpi.spec import UNREADABLE_DATA, identify, identity_of
from lad_mpi.training.checkpoint import Checkpoints
from lad_mpi.training.existing import Existing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lad_mpi.logs import LogHead
    from lad_mpi.spec import Identity, Spec
    from lad_mpi.training.checkpoint import Checkpoint, Layout


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a run begins; on the server.

    Parameters
    ----------
    output : Path
        The log file itself, where symbolic links lead.
    identity : Identity
        What makes the run the one that it is.
    names : tuple of str
        Labels that the log gets.
    lock : OutputLock
        The right to write the output, held until the run has ended.
    replaces : bool
        Whether a log that is there is replaced.
    earlier : LogHead or None
        The log that is gone on with.
    checkpoint : Checkpoint or None
        The state to go on from; None for the beginning.
    is_complete : bool
        Whether there is nothing left to do.
    notes : tuple of str
        What the person at the terminal should know about it.
    """

    output: Path
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
        """Iterations that were completed before."""
        return 0 if self.checkpoint is None else self.checkpoint.iterations


def open_output(output: Path, spec: Spec, existing: Existing, names: Sequence[str] = ()) -> Start:
    """Take the right to write an output, and see what becomes of what is there.

    If a log is gone on with, :func:`pick_checkpoint` says from where.

    Parameters
    ----------
    output : Path
        The log file, or a symbolic link to it.
    spec : Spec
        The run.
    existing : Existing
        What becomes of a log that exists already.
    names : sequence of str
        Labels that the log gets; that of the spec if left out.

    Raises
    ------
    UsageError
        Another run writes it, it is taken, it cannot be written, or it belongs to
        another run.
    DataError
        A log is to be gone on with, and its data cannot be read.
    """
    _check_link(output)
    output = real_path(output)
    _check_writable(output, spec.iterations)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = OutputLock(output)
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or output}: {error.strerror}",
            hint="give an output in a folder of yours with -o",
        ) from error
    try:
        start = Start(output, identify(spec), tuple(names) or (spec.name,), lock)
        start = _look(start, spec, existing)
        if lock.is_held:
            return start
        note = f"the file system of {output} has no locks: keep other runs away from it"
        return replace(start, notes=(note, *start.notes))
    except BaseException:
        lock.release()
        raise


def _check_link(output: Path) -> None:
    """Refuse a link that has a file overwritten which nobody meant."""
    try:
        if not output.is_symlink():
            return
        is_foreign = output.lstat().st_uid not in {0, os.geteuid()}
        is_other = not is_log(output)
    except (OSError, ValueError):
        return
    if is_foreign or is_other:
        what = (
            "a link that another user has made"
            if is_foreign
            else "a link to a file that is not a log"
        )
        raise UsageError(
            f"cannot write {output}: it is {what}",
            hint=f"give the name of the log itself, {real_path(output)}, if that is what you mean",
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
            hint="give another name, or an output in a folder of yours, with -o",
        ) from error
    if output.exists() and not output.is_file():
        what = "a folder" if output.is_dir() else "not a regular file"
        raise UsageError(f"cannot write {output}: it is {what}", hint="give the name of a file")
    if not folder.is_dir():
        raise UsageError(f"cannot write {output}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot write {output}: {folder} is not writable",
            hint="give an output in a folder of yours with -o",
        )


def _check_length(output: Path, folder: Path, iterations: int) -> None:
    """Refuse a name for which the longest that is made from it is too long."""
    longest = longest_name(Checkpoints(output).path(iterations))
    # What PC_PATH_MAX counts has a zero byte at its end.
    for kind, text, most in (
        ("name", longest.name, os.pathconf(folder, "PC_NAME_MAX")),
        ("path", str(longest), os.pathconf(folder, "PC_PATH_MAX") - 1),
    ):
        excess = len(os.fsencode(text)) - most
        if excess > 0:
            raise UsageError(
                f"cannot write {output}: the {kind} of its checkpoints would be too long for the "
                f"file system, which allows {most} bytes",
                hint=f"give an output with a {kind} that is {excess} bytes shorter with -o",
            )


def _look(start: Start, spec: Spec, existing: Existing) -> Start:
    output = start.output
    if not output.exists():
        notes = _fresh(existing, "there is no log yet: the run begins")
        return replace(start, notes=notes)
    if existing == Existing.REPLACE:
        return replace(start, replaces=True)
    if existing == Existing.REFUSE:
        raise UsageError(
            f"{output} exists already and is kept",
            hint="go on with it by --resume, replace it with --overwrite, or give another "
            "output with -o",
        )
    return _resume(start, spec)


def _resume(start: Start, spec: Spec) -> Start:
    output = start.output
    try:
        log = read_head(output)
        if log.status != "complete":
            # All of it, before anything is made: it is copied into the log that goes on.
            read_log(output)
    except LogFormatError as error:
        raise UsageError(
            f"cannot resume: {error.message}",
            hint="it is kept: move it away and the run begins anew, or replace it with --overwrite",
        ) from error
    if start.identity.data_digest == UNREADABLE_DATA:
        # What is wrong with them, and not that they differ.
        spec.problem.digest()
    earlier = identity_of(log.spec, log.data_digest, log.packages)
    if differences := start.identity.differences(earlier):
        raise UsageError(
            f"cannot resume: {output} is the log of another run:\n  " + "\n  ".join(differences),
            hint="give another output with -o, or replace it with --overwrite; "
            "lad-mpi show --spec prints the spec of the log",
        )
    if log.status == "complete":
        Checkpoints(output).clear()
        return replace(start, is_complete=True, notes=(f"{output} is complete already",))
    return replace(start, earlier=log)


def pick_checkpoint(start: Start, arrays: Mapping[str, Layout]) -> Start:
    """Find the state from which a log is gone on with.

    Parameters
    ----------
    start : Start
        What becomes of the log.
    arrays : mapping
        As for :meth:`Checkpoints.load`.

    Returns
    -------
    Start
        With the checkpoint, and notes about it.

    Raises
    ------
    UsageError
        The checkpoints may lie elsewhere.
    RunFailedError
        One cannot be read at the moment.
    """
    log = start.earlier
    if log is None:
        return replace(start, notes=())
    checkpoint, notes = Checkpoints(start.output).load(log, arrays)
    if checkpoint is None and log.recorded and start.output.stat().st_nlink > 1:
        raise UsageError(
            f"cannot resume: {start.output} has another name, a hard link in another folder, and "
            "its checkpoints may lie there",
            hint="resume it by that name, or begin again with --overwrite",
        )
    if checkpoint is None:
        notes.append("there is no checkpoint: the run begins again")
    else:
        done, total = checkpoint.iterations, log.spec["iterations"]
        notes.append(f"going on after {done} of {total} iterations")
    return replace(start, checkpoint=checkpoint, notes=tuple(notes))


def _fresh(existing: Existing, note: str) -> tuple[str, ...]:
    return (note,) if existing == Existing.RESUME else ()
