"""Checkpoints: all that an interrupted run needs to go on with the same bits.

They lie beside the log, ``NAME.checkpoint-000000400.npz`` after 400 iterations,
and are NumPy archives, whose members carry checksums. One is written under
another name, brought to the disk and renamed, so that a file of that name is
whole; the one before it is kept in case it is damaged all the same.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import RunFailedError
from lad_mpi.files import open_regular, remove_drafts, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lad_mpi.logs import LogHead
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import HostFloats

_VERSION = 2
_KEPT = 2
_ANY_NAME = re.compile(r".*\.checkpoint-(\d+)\.npz", re.DOTALL)
_DAMAGE = (
    AttributeError,
    OSError,
    ValueError,
    LookupError,
    EOFError,
    MemoryError,
    TypeError,
    RuntimeError,
    # Of the header of an array, which NumPy reads as Python.
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_OPTIONAL = ("rule_state", "residuals")
#: Not an error of the system, or one of seeking to a place that a damaged archive names.
_ERRNOS_OF_DAMAGE = (None, errno.EINVAL, errno.EISDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Layout:
    """What an array of a checkpoint must be.

    Parameters
    ----------
    shapes : tuple of tuple of int
        Its shape is one of these.
    dtype : numpy.dtype
        Its dtype.
    required : bool
        Whether it must be there.
    """

    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype[Any]
    required: bool


def arrays_of(setup: Setup) -> dict[str, Layout]:
    """Return what the arrays of a run's checkpoints must be, by their names."""
    q, length, dtype = setup.problem.dimension, setup.message_dimension, setup.backend.dtype
    layouts = {
        "model": Layout(((q,),), dtype, required=True),
        # A rule that stands in for a decoder may aggregate whole messages.
        "rule_state": Layout(((q,), (length,)), dtype, required=False),
    }
    if setup.has_residuals:
        shape = (setup.spec.devices.count, length)
        layouts["residuals"] = Layout((shape,), dtype, required=True)
    return layouts


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state of a run between two iterations.

    Parameters
    ----------
    iterations : int
        Completed iterations.
    uuid : str
        The run's own id, as in its log.
    identity : str
        Hash of what makes the run the one that it is, as in its log.
    model : ndarray, shape (Q,)
        x.
    rule_state : ndarray, shape (Q,), optional
        What a stateful rule carries from one iteration to the next.
    residuals : ndarray, shape (N, Q), optional
        What error feedback has not sent yet, a row a device.
    """

    iterations: int
    uuid: str
    identity: str
    model: HostFloats
    rule_state: HostFloats | None = None
    residuals: HostFloats | None = None


class Checkpoints:
    """The checkpoints beside a log, of which the two newest are kept.

    Parameters
    ----------
    log : Path
        The log. Whoever writes must hold its lock.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log.parent
        self._stem = log.stem
        self._name = re.compile(re.escape(log.stem) + r"\.checkpoint-(\d+)\.npz")

    def path(self, iterations: int) -> Path:
        """Return the file of a checkpoint after so many iterations."""
        return self._folder / f"{self._stem}.checkpoint-{iterations:09d}.npz"

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and remove those before the last one.

        Raises
        ------
        RunFailedError
            It cannot be written; the earlier ones are still there.
        """
        path = self.path(checkpoint.iterations)
        try:
            with whole_file(path) as stream:
                _write(checkpoint, stream)
        except OSError as error:
            raise RunFailedError(
                f"cannot write the checkpoint {path}: {error.strerror or error}",
                hint="see that the disk is not full and the quota not used up; --resume goes on "
                "from the checkpoint before",
            ) from error
        for old in self.paths()[_KEPT:]:
            with contextlib.suppress(OSError):
                old.unlink()
        return path

    def load(
        self, log: LogHead, arrays: Mapping[str, Layout]
    ) -> tuple[Checkpoint | None, list[str]]:
        """Read the newest checkpoint that a run can go on from.

        Parameters
        ----------
        log : LogHead
            The log.
        arrays : mapping of str to Layout
            What the arrays must be; see :func:`arrays_of`.

        Returns
        -------
        checkpoint : Checkpoint or None
            None where there is none that is sound.
        notes : list of str
            Why newer ones were passed over.

        Raises
        ------
        RunFailedError
            One cannot be read at the moment; that it is damaged is not said by that.
        """
        notes = []
        own = self.paths()
        # A log that was renamed, or has a second name, left them under the first.
        for path in own or self._paths(_ANY_NAME):
            try:
                found = _read(path, arrays)
            except FileNotFoundError:
                continue
            except _DAMAGE as error:
                number = getattr(error, "errno", None)
                if number not in _ERRNOS_OF_DAMAGE:
                    raise RunFailedError(
                        f"the checkpoint {path} cannot be read: {os.strerror(number)}",
                        hint="it may be sound: see to the file system and try again",
                    ) from error
                why = getattr(error, "strerror", None) or error
                notes.append(f"{path.name} is damaged ({why}) and was passed over")
                continue
            if (found.uuid, found.identity) != (log.uuid, log.identity):
                if not own:
                    continue
                notes.append(f"{path.name} belongs to another run and was passed over")
            elif found.iterations > log.recorded:
                notes.append(
                    f"{path.name} was passed over, because the log holds only {log.recorded} "
                    "iterations"
                )
            else:
                return found, notes
        return None, notes

    def clear(self, after: int = -1) -> None:
        """Remove checkpoints of more than ``after`` iterations; what cannot be removed stays."""
        remove_drafts(self._folder, rf"{re.escape(self._stem)}\.checkpoint-\d+\.npz")
        for path in self.paths():
            if _iterations(path) > after:
                with contextlib.suppress(OSError):
                    path.unlink()

    def paths(self) -> list[Path]:
        """List the checkpoints, the newest first."""
        return self._paths(self._name)

    def _paths(self, name: re.Pattern[str]) -> list[Path]:
        try:
            found = [path for path in self._folder.iterdir() if name.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(found, key=_iterations, reverse=True)


def _iterations(path: Path) -> int:
    match = _ANY_NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def _write(checkpoint: Checkpoint, stream: Any) -> None:
    about: dict[str, Any] = {
        "version": _VERSION,
        "iterations": checkpoint.iterations,
        "uuid": checkpoint.uuid,
        "identity": checkpoint.identity,
    }
    parts = {name: getattr(checkpoint, name) for name in ("model", *_OPTIONAL)}
    arrays = {name: array for name, array in parts.items() if array is not None}
    # The archive has checksums of contents, not of names: one that is spoilt must be missed.
    about["arrays"] = list(arrays)
    described = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez(stream, allow_pickle=False, about=described, **arrays)


def _read(path: Path, arrays: Mapping[str, Layout]) -> Checkpoint:
    # np.load leaves a file open that it cannot read.
    with open_regular(path, follow_links=False) as stream:
        with zipfile.ZipFile(stream) as members:
            # So that nothing takes more memory than the file has bytes.
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
                raise ValueError("it is compressed")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as archive:
            about = _read_about(archive)
            if sorted(archive.files) != sorted({"about", *about["arrays"]}):
                raise ValueError(f"it holds {archive.files}, not {about['arrays']}")
            if set(about["arrays"]) - set(arrays):
                raise ValueError(f"it holds {about['arrays']}; expected {list(arrays)}")
            checkpoint = Checkpoint(
                about["iterations"],
                about["uuid"],
                about["identity"],
                **{name: archive[name] for name in about["arrays"]},
            )
    for name, layout in arrays.items():
        _check_array(name, getattr(checkpoint, name), layout)
    return checkpoint


def _read_about(archive: Any) -> dict[str, Any]:
    about = json.loads(archive["about"].tobytes())
    if about["version"] != _VERSION:
        raise ValueError(f"it is of version {about['version']}, not {_VERSION}")
    types = {"iterations": int, "uuid": str, "identity": str, "arrays": list}
    for name, expected in types.items():
        if type(about[name]) is not expected:
            raise ValueError(f"its {name} are {about[name]!r}")
    if about["iterations"] < 0 or not all(isinstance(name, str) for name in about["arrays"]):
        raise ValueError("it counts wrong, or names an array by no text")
    return dict(about)


def _check_array(name: str, array: HostFloats | None, layout: Layout) -> None:
    if array is None:
        if layout.required:
            raise ValueError(f"it has no {name}")
        return
    if array.shape not in layout.shapes or array.dtype != layout.dtype:
        raise ValueError(
            f"its {name} has shape {array.shape} and dtype {array.dtype}; expected "
            f"{layout.shapes[0]} and {layout.dtype}"
        )
