"""The output of a run: its lock, what exists there already, and the checkpoint to start from."""

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
    from lad_mpi.training.checkpoint import Checkpoint, Layout


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Where a run writes and where it starts; on the server.

    Parameters
    ----------
    path : Path
        The log file itself, with symbolic links resolved.
    identity : Identity
        Identity of the run.
    names : tuple of str
        Labels that the log gets.
    lock : OutputLock
        The right to write the log, held until the run has ended.
    replaces : bool
        Whether an existing log is replaced.
    earlier : LogHead or None
        The log that is continued.
    checkpoint : Checkpoint or None
        The state to continue from; None for the beginning.
    is_complete : bool
        Whether there is nothing left to do.
    notes : tuple of str
        What the person at the terminal should know.
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
        """Number of iterations that are complete already."""
        return 0 if self.checkpoint is None else self.checkpoint.iterations


def open_output(path: Path, spec: Spec, existing: Existing, names: Sequence[str] = ()) -> Output:
    """Take the right to write a log, and decide about one that exists.

    If a log is continued, :func:`pick_checkpoint` finds the place.

    Parameters
    ----------
    path : Path
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
        Another run writes it, it exists already, it cannot be written, or it belongs
        to another run.
    DataError
        A log is to be continued, and its data cannot be read.
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
            hint="give an output in a folder of yours with -o",
        ) from error
    try:
        output = Output(path, identify(spec), tuple(names) or (spec.name,), lock)
        output = _look(output, spec, existing)
        if lock.is_held:
            return output
        note = f"the file system of {path} has no locks: keep other runs away from it"
        return replace(output, notes=(note, *output.notes))
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


def _look(output: Output, spec: Spec, existing: Existing) -> Output:
    if not output.path.exists():
        is_expected = existing == Existing.RESUME
        return replace(output, notes=("there is no log yet: the run begins",) * is_expected)
    if existing == Existing.REPLACE:
        return replace(output, replaces=True)
    if existing == Existing.REFUSE:
        raise UsageError(
            f"{output.path} exists already and is kept",
            hint="continue it with --resume, replace it with --overwrite, or give another "
            "output with -o",
        )
    return _resume(output, spec)


def _resume(output: Output, spec: Spec) -> Output:
    path = output.path
    try:
        log = read_head(path)
        if log.status != "complete":
            # All of it is read before anything is written, because it will be copied.
            read_log(path)
    except LogFormatError as error:
        raise UsageError(
            f"cannot resume: {error.message}",
            hint="it is kept: move it away and the run begins anew, or replace it with --overwrite",
        ) from error
    if output.identity.data_digest == UNREADABLE_DATA:
        # This raises what is wrong with the data, which says more than a difference.
        spec.problem.digest()
    earlier = identity_of(log.spec, log.data_digest, log.packages)
    if differences := output.identity.differences(earlier):
        raise UsageError(
            f"cannot resume: {path} is the log of another run:\n  " + "\n  ".join(differences),
            hint="give another output with -o, or replace it with --overwrite; "
            "lad-mpi show --spec prints the spec of the log",
        )
    if log.status == "complete":
        Checkpoints(path).clear()
        return replace(output, is_complete=True, notes=(f"{path} is complete already",))
    return replace(output, earlier=log)


def pick_checkpoint(output: Output, arrays: Mapping[str, Layout]) -> Output:
    """Find the state from which a log is continued.

    Parameters
    ----------
    output : Output
        The log.
    arrays : mapping
        As for :meth:`Checkpoints.load`.

    Returns
    -------
    Output
        With the checkpoint, and notes about it.

    Raises
    ------
    UsageError
        The checkpoints may be in another folder.
    RunFailedError
        A checkpoint cannot be read at the moment.
    """
    log = output.earlier
    if log is None:
        return replace(output, notes=())
    checkpoint, notes = Checkpoints(output.path).load(log, arrays)
    if checkpoint is None and log.recorded and output.path.stat().st_nlink > 1:
        raise UsageError(
            f"cannot resume: {output.path} has another name, a hard link in another folder, and "
            "its checkpoints may lie there",
            hint="resume it by that name, or begin again with --overwrite",
        )
    if checkpoint is None:
        notes.append("there is no checkpoint: the run begins again")
    else:
        done, total = checkpoint.iterations, log.spec["iterations"]
        notes.append(f"going on after {done} of {total} iterations")
    return replace(output, checkpoint=checkpoint, notes=tuple(notes))
