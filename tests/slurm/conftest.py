"""Programs of a scheduler that say what a test has them say."""

from __future__ import annotations

import shlex

import pytest


class Programs:
    """A folder of programs that comes first on the PATH."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()

    def say(self, name, text="", *, error="", code=0):
        """Have a program print this, whatever it is asked, and note what that was."""
        path = self.folder / name
        path.write_text(
            f'#!/bin/bash\nprintf "%s\\n" "$@" >{shlex.quote(str(self.folder))}/{name}.asked\n'
            f"while IFS= read -r line; do printf '%s\\n' \"$line\"; done"
            f" >{shlex.quote(str(self.folder))}/{name}.read\n"
            f"printf %s {shlex.quote(text)}\nprintf %s {shlex.quote(error)} >&2\nexit {code}\n"
        )
        path.chmod(0o755)

    def asked(self, name):
        """Return the last arguments of a program; nothing where it was not called."""
        path = self.folder / f"{name}.asked"
        return path.read_text().splitlines() if path.exists() else []

    def read(self, name):
        """Return what a program was given on its standard input."""
        return (self.folder / f"{name}.read").read_text()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Have no scheduler but this one."""
    made = Programs(tmp_path / "programs")
    # What the system has of SLURM must not be found; bash itself is called by its path.
    monkeypatch.setenv("PATH", str(made.folder))
    return made
