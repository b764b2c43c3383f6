"""Checkpoints: all that an interrupted run needs to go on with the same bits.

They lie beside the log, ``NAME.checkpoint-000000400.npz`` after 400 iterations,
and are NumPy archives, whose members carry checksums. One is written under
another name, brought to the disk and renamed, so that a file of that name is
whole; the one before it is kept in case it is damaged all the same.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.errors import RunFailedError
from lad_mpi.files import draft_of, whole_file

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats

_VERSION = 2
_KEPT = 2
_ANY_NAME = re.compile(r".*\.checkpoint-(\d+)\.npz", re.DOTALL)
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
_OPTIONAL = ("rule_state", "residuals")
#: Not an error of the system, or one of seeking to a place that a damaged archive names.
_ERRNOS_OF_DAMAGE = (None, errno.EINVAL, errno.EISDIR)


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

    def load(self, uuid: str, identity: str, recorded: int) -> tuple[Checkpoint | None, list[str]]:
        """Read the newest checkpoint that a run can go on from.

        Parameters
        ----------
        uuid, identity : str
            Those of the log.
        recorded : int
            Iterations that the log holds.

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
                found = _read(path)
            except FileNotFoundError:
                continue
            except _DAMAGE as error:
                number = getattr(error, "errno", None)
                if number not in _ERRNOS_OF_DAMAGE:
                    raise RunFailedError(
                        f"the checkpoint {path} cannot be read: {os.strerror(number)}",
                        hint="it may be sound: see to the file system and try again",
                    ) from error
                notes.append(f"{path.name} is damaged ({error}) and was passed over")
                continue
            if (found.uuid, found.identity) != (uuid, identity):
                if not own:
                    continue
                notes.append(f"{path.name} belongs to another run and was passed over")
            elif found.iterations > recorded:
                notes.append(
                    f"{path.name} was passed over, because the log holds only {recorded} iterations"
                )
            else:
                return found, notes
        return None, notes

    def clear(self, after: int = -1) -> None:
        """Remove checkpoints of more than ``after`` iterations; what cannot be removed stays."""
        stem = glob.escape(self._stem)
        drafts = self._folder.glob(draft_of(Path(f"{stem}.checkpoint-*.npz")).name)
        newer = [path for path in self.paths() if _iterations(path) > after]
        for path in [*newer, *drafts]:
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


def _read(path: Path) -> Checkpoint:
    # np.load leaves a file open that it cannot read.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        about = json.loads(archive["about"].tobytes())
        if about["version"] != _VERSION:
            raise ValueError(f"it is of version {about['version']}, not {_VERSION}")
        if set(archive.files) != {"about", *about["arrays"]}:
            raise ValueError(f"it holds {archive.files}, not {about['arrays']}")
        return Checkpoint(
            iterations=int(about["iterations"]),
            uuid=str(about["uuid"]),
            identity=str(about["identity"]),
            **{name: archive[name] for name in about["arrays"]},
        )
