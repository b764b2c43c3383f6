"""Mutate bytes, and replace files by other kinds of files."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


def mutate_bytes(path: Path, chance: Random, outside: Path) -> str:
    """Change bytes of a file, or its length."""
    raw = bytearray(path.read_bytes())
    if not raw:
        path.write_bytes(chance.randbytes(100))
        return "100 random bytes"
    # Most formats have their structure near the start of the file.
    top = len(raw) if chance.random() < 0.5 else min(len(raw), 4096)
    place = chance.randrange(top)
    kind = chance.choice(["flip", "flip", "word", "word", "zero", "cut", "append", "copy"])
    if kind == "flip":
        places = [chance.randrange(top) for _ in range(chance.choice([1, 2, 8, 64]))]
        for at in places:
            raw[at] ^= 1 << chance.randrange(8)
        words = f"{len(places)} bits flipped, the first at {places[0]}"
    elif kind == "word":
        word = chance.choice(
            [b"\xff" * 8, b"\xff" * 4, b"\0\0\0\0\0\0\0\x80", b"\xff\xff\xff\x7f", b"\0" * 4]
        )
        raw[place : place + len(word)] = word
        words = f"{word.hex()} at {place}"
    elif kind == "zero":
        length = chance.choice([16, 512, 4096, 65536])
        raw[place : place + length] = bytes(len(raw[place : place + length]))
        words = f"{length} zeros at {place}"
    elif kind == "cut":
        del raw[chance.randrange(len(raw)) :]
        words = f"cut to {len(raw)} bytes"
    elif kind == "append":
        raw += chance.randbytes(chance.choice([1, 100, 10_000]))
        words = f"random bytes appended: {len(raw)}"
    else:
        start = chance.randrange(len(raw))
        piece = bytes(raw[start : start + chance.choice([8, 64, 1024])])
        raw[place : place + len(piece)] = piece
        words = f"{len(piece)} bytes from {start} copied to {place}"
    path.write_bytes(raw)
    return words


def replace_node(path: Path, chance: Random, outside: Path) -> str:
    """Replace a file, which need not exist, by a link, folder, FIFO, socket or device."""
    remove(path)
    links = {
        "text outside": outside / "notes.txt",
        "log outside": outside / "other.h5",
        "nothing outside": outside / "new.txt",
        "folder outside": outside / "folder",
        "a device zero": outside / "zero",
        "a device full": outside / "full",
        "a device null": outside / "null",
        "FIFO outside": outside / "fifo",
        "itself": path,
        "folder of its own": path.parent,
    }
    kinds = ["fifo", "folder", "empty", "socket", "sparse", "full folder", *links]
    kind = chance.choice(kinds)
    if kind in links:
        path.symlink_to(links[kind])
        return f"a link to {kind}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "full folder":
        (path / path.name).mkdir(parents=True)
        (path / "x").symlink_to(outside / "folder")
    elif kind == "socket":
        bind(path)
    elif kind == "sparse":
        with path.open("wb") as stream:
            stream.truncate(2**40)
    else:
        path.touch()
    return f"a {kind} in its place"


def bind(path: Path) -> None:
    """Create a socket, even if its path is longer than the limit for sockets."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)
        os.close(before)


def remove(path: Path) -> None:
    """Remove a file of any kind; for a link, not its target."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
