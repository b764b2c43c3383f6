"""Run the fuzzer on deliberately broken commands, and print what it finds."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import files
from hostile import case, pool
from hostile.commands import Command

from lad_mpi import terminal

_HELD = []


def _raise():
    raise KeyError("nobody catches this")


def _bug():
    sys.stderr.write(f"{terminal.describe(KeyError('x'))}\n")
    return 1


def _write_to(path):
    path.write_text("x")
    return 0


def _link():
    (Path.cwd().parent / "notes.txt").rename(Path.cwd().parent / "moved.txt")
    return 0


def _take():
    _HELD.append(bytearray(b"x") * 1_100_000_000)
    return 0


def _leak(folder):
    (folder / "new.txt").write_bytes((Path.cwd().parent / "notes.txt").read_bytes())
    return 0


FAULTS = {
    "none": lambda folder: 0,
    "raises": lambda folder: _raise(),
    "bug": lambda folder: _bug(),
    "traceback": lambda folder: print("Traceback (most recent call last)") or 1,
    "exit code": lambda folder: 9,
    "hangs": lambda folder: time.sleep(100),
    "dies": lambda folder: os.abort(),
    "writes to the working directory": lambda folder: _write_to(Path("PWNED")),
    "writes at home": lambda folder: _write_to(Path.home() / ".bashrc"),
    "writes beside its folder": lambda folder: _write_to(folder.parent / "x"),
    "renames outside": lambda folder: _link(),
    "memory": lambda folder: _take(),
    "copies a secret": _leak,
}


def main() -> None:
    """Print the causes found for every fault."""
    found = {}
    commands = (Command("text", "show {}/some.txt", ("some.txt",)),)
    with tempfile.TemporaryDirectory(prefix="lad-mpi-fuzz-") as name:
        folder = Path(name)
        (folder / "corpus/text").mkdir(parents=True)
        (folder / "corpus/text/some.txt").write_text("some text\n" * 100)
        for fault, act in FAULTS.items():
            with (
                mock.patch.object(case, "COMMANDS", commands),
                mock.patch.object(case, "_WEIGHTS", [1]),
                mock.patch.object(case.suite, "main", lambda words, act=act: act(_folder(words))),
                mock.patch.object(pool, "DEADLINE_S", 1.0),
            ):
                workers = pool.Pool(lambda at: case.Bench(folder / "corpus", at, 1), folder, 1)
                tally = files.Tally()
                for one in workers.run([0]):
                    tally.add(one)
                workers.close()
            found[fault] = sorted(tally.groups)
    print(json.dumps(found))


def _folder(words):
    return Path(words[1]).parent


if __name__ == "__main__":
    main()
