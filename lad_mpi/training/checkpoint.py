"""Checkpoints: the state from which an interrupted run continues with the same bits.

A checkpoint is a NumPy archive beside the log, for example
``NAME.checkpoint-000000400.npz`` after 400 iterations. Its members have checksums. It is
written under a temporary name, synced to disk and renamed, so a file with the final name
is complete. The previous checkpoint is kept in case the newest one is damaged later.
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
    from lad_mpi.types import HostFloats

_VERSION = 3
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
    # NumPy parses the header of an array as Python.
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
#: Errors without a number, and numbers that a damaged archive or a wrong file type causes.
_ERRNOS_OF_DAMAGE = (None, errno.EINVAL, errno.EISDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """Shape and dtype that an array of a checkpoint must have.

    Parameters
    ----------
    shape : tuple of int
        Required shape.
    dtype : numpy.dtype
        Required dtype.
    required : bool
        Whether a checkpoint must contain the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    required: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state of a run between two iterations.

    Parameters
    ----------
    iterations : int
        Number of completed iterations.
    uuid : str
        Id of the run, as in its log.
    identity : str
        Identity hash of the run, as in its log.
    arrays : mapping of str to ndarray
        The state: ``"model"``, what else the server keeps, such as
        ``"optimizer/velocity"``, and what the devices keep, such as ``"devices/residuals"``,
        with one row a device.
    """

    iterations: int
    uuid: str
    identity: str
    arrays: Mapping[str, HostFloats]


class Checkpoints:
    """The checkpoints beside a log. The two newest are kept.

    Parameters
    ----------
    log : Path
        The log. A process must hold its lock to write checkpoints.
    """

    def __init__(self, log: Path) -> None:
        self._folder = log.parent
        self._stem = log.stem
        self._name = re.compile(re.escape(log.stem) + r"\.checkpoint-(\d+)\.npz")

    def path(self, iterations: int) -> Path:
        """Return the path of the checkpoint after ``iterations`` iterations."""
        return self._folder / f"{self._stem}.checkpoint-{iterations:09d}.npz"

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, and remove all but the two newest.

        Raises
        ------
        RunFailedError
            The checkpoint cannot be written. Earlier checkpoints are kept.
        """
        path = self.path(checkpoint.iterations)
        try:
            with whole_file(path) as stream:
                _write(checkpoint, stream)
        except OSError as error:
            raise RunFailedError(
                f"cannot write the checkpoint {path}: {error.strerror or error}",
                hint="free disk space or quota; --resume continues from the previous checkpoint",
            ) from error
        for old in self.paths()[_KEPT:]:
            with contextlib.suppress(OSError):
                old.unlink()
        return path

    def load(
        self, log: LogHead, arrays: Mapping[str, ArrayLayout]
    ) -> tuple[Checkpoint | None, list[str]]:
        """Read the newest checkpoint from which a run can continue.

        Parameters
        ----------
        log : LogHead
            The log.
        arrays : mapping of str to ArrayLayout
            Expected layout of the arrays.

        Returns
        -------
        checkpoint : Checkpoint or None
            None if there is no valid checkpoint.
        notes : list of str
            Why newer checkpoints were skipped.

        Raises
        ------
        RunFailedError
            The file system failed to read a checkpoint, which may still be valid.
        """
        notes = []
        own = self.paths()
        # If the log was renamed or is a hard link, checkpoints have its earlier name.
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
                        hint="it may be intact: check the file system and try again",
                    ) from error
                why = getattr(error, "strerror", None) or error
                notes.append(f"skipped {path.name}: it is damaged ({why})")
                continue
            if (found.uuid, found.identity) != (log.uuid, log.identity):
                if not own:
                    continue
                notes.append(f"skipped {path.name}: it belongs to another run")
            elif found.iterations > log.recorded:
                notes.append(f"skipped {path.name}: the log has only {log.recorded} iterations")
            else:
                return found, notes
        return None, notes

    def clear(self, after: int = -1) -> None:
        """Remove checkpoints of more than ``after`` iterations; ignore errors."""
        remove_drafts(self._folder, rf"{re.escape(self._stem)}\.checkpoint-\d+\.npz")
        for path in self.paths():
            if _iterations(path) > after:
                with contextlib.suppress(OSError):
                    path.unlink()

    def paths(self) -> list[Path]:
        """List the checkpoints, newest first."""
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
    # The archive has checksums of its contents, but not of their names.
    about["arrays"] = list(checkpoint.arrays)
    described = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez(stream, allow_pickle=False, about=described, **checkpoint.arrays)


def _read(path: Path, arrays: Mapping[str, ArrayLayout]) -> Checkpoint:
    # np.load does not close a file that it cannot read.
    with open_regular(path, follow_links=False) as stream:
        with zipfile.ZipFile(stream) as members:
            # Otherwise a small file could take any amount of memory.
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
                {name: archive[name] for name in about["arrays"]},
            )
    for name, layout in arrays.items():
        _check_array(name, checkpoint.arrays.get(name), layout)
    return checkpoint


def _read_about(archive: Any) -> dict[str, Any]:
    about = json.loads(archive["about"].tobytes())
    if about["version"] != _VERSION:
        raise ValueError(f"its version is {about['version']}; expected {_VERSION}")
    types = {"iterations": int, "uuid": str, "identity": str, "arrays": list}
    for name, expected in types.items():
        if type(about[name]) is not expected:
            raise ValueError(f"{name} is {about[name]!r}; expected {expected.__name__}")
    if about["iterations"] < 0 or not all(isinstance(name, str) for name in about["arrays"]):
        raise ValueError("its iteration count or a name of an array is invalid")
    return dict(about)


def _check_array(name: str, array: HostFloats | None, layout: ArrayLayout) -> None:
    if array is None:
        if layout.required:
            raise ValueError(f"it has no {name}")
        return
    if array.shape != layout.shape or array.dtype != layout.dtype:
        raise ValueError(
            f"its {name} has shape {array.shape} and dtype {array.dtype}; expected "
            f"{layout.shape} and {layout.dtype}"
        )
