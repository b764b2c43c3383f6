"""Files around the folder of a case, which must not change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import h5py
import numpy as np

from hostile.walls import make_devices

#: Content that must not appear in a file written by a command.
SECRET = b"7h3-s3cr3t-0f-an07h3r"


class Outside:
    """Files with known content around a case, including home and working directory.

    Parameters
    ----------
    around : Path
        Folder to create. Nothing may change in it except in the folder of the case.
    """

    def __init__(self, around: Path) -> None:
        self._around = around
        #: Target of links and names.
        self.folder = folder = around / "outside"
        #: Folder of the case, so deep that names with a few ``..`` stay in ``around``.
        self.case = around / "a" / "b" / "c" / "case"
        self.case.parent.mkdir(parents=True)
        for name in ("home", "cwd", "tmp", "folder"):
            (folder / name).mkdir(parents=True)
            (folder / name / "kept.txt").write_text("kept\n")
        (folder / "home" / ".bashrc").write_text("umask 022\n")
        (folder / "notes.txt").write_bytes(SECRET * 100)
        with h5py.File(folder / "other.h5", "w") as file:
            file["secret"] = np.frombuffer(SECRET * 8, dtype="f8")
            file.attrs["format"] = "another"
        os.mkfifo(folder / "fifo")
        make_devices(folder)
        self._before = self._states()
        self._contents = self._read()

    def changes(self) -> list[str]:
        """List files whose state (mode, size, time, inode) has changed since the start."""
        now = self._states()
        names = sorted(self._before.keys() | now.keys())
        return [name for name in names if self._before.get(name) != now.get(name)]

    def restore(self) -> None:
        """Undo what mutations wrote through links of their own, before the command is called."""
        for name in self.changes():
            Path(name).write_bytes(self._contents[name])
        self._before = self._states()

    def changed_contents(self) -> list[str]:
        """List files whose content has changed."""
        now = self._read()
        return [name for name in self._contents if self._contents[name] != now.get(name)]

    def _states(self) -> dict[str, tuple[int, ...]]:
        found = {}
        case = str(self.case)
        for folder, folders, files in os.walk(self._around):
            if folder == case:
                folders.clear()
                continue
            for name in files:
                path = os.path.join(folder, name)  # noqa: PTH118  (for every case)
                about = os.lstat(path)
                found[path] = (
                    about.st_mode,
                    about.st_size,
                    # The time of a device only shows its last use.
                    0 if stat.S_ISCHR(about.st_mode) else about.st_mtime_ns,
                    about.st_ino,
                    about.st_rdev,
                )
            # Locks and drafts change the states of folders, so only compare names of folders.
            places = [os.path.join(folder, name) for name in folders]  # noqa: PTH118
            found.update({place: () for place in places if place != case})
        return found

    def _read(self) -> dict[str, bytes]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}
