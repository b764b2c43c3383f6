"""What lies around the folder of a case, and must stay as it is."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import h5py
import numpy as np

from hostile.walls import make_devices

if TYPE_CHECKING:
    from pathlib import Path

#: Must not get into a file that a command writes.
SECRET = b"7h3-s3cr3t-0f-an07h3r"


class Outside:
    """Files of known content beside a case; among them the home and the working directory.

    Parameters
    ----------
    around : Path
        Made here. Nothing may change in it except in the folder of the case.
    """

    def __init__(self, around: Path) -> None:
        self._around = around
        #: Where links and names lead.
        self.folder = folder = around / "outside"
        #: Of the case; so deep that names with a few ``..`` lead to ``around``.
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
        """Name what has changed since it was made, as far as its states tell."""
        now = self._states()
        names = sorted(self._before.keys() | now.keys())
        return [name for name in names if self._before.get(name) != now.get(name)]

    def changed_contents(self) -> list[str]:
        """Name files whose content has changed."""
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
                    # That of a device says when it was used.
                    0 if stat.S_ISCHR(about.st_mode) else about.st_mtime_ns,
                    about.st_ino,
                    about.st_rdev,
                )
            # Folders are changed by locks and drafts that come and go; their names are not.
            places = [os.path.join(folder, name) for name in folders]  # noqa: PTH118
            found.update({place: () for place in places if place != case})
        return found

    def _read(self) -> dict[str, bytes]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}
