"""Mutate NumPy archives: checkpoints and data sets."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct
import warnings
import zipfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hostile.trees import mutate_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    Members = list[tuple[str, bytes]]

_HUGE = 10**12


class _Pickled:
    """Creates a file if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._path, "w")


def mutate_archive(path: Path, chance: Random, outside: Path) -> str:
    """Mutate a member of an archive, or the archive."""
    try:
        members = _read(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return "nothing: it is no archive"
    if not members:
        return "nothing: it is empty"
    at = chance.randrange(len(members))
    compression = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    act: Callable[..., str] = chance.choice(
        [_values, _values, _dtype, _shape, _header, _header, _about, _about, _names, _pickle, _bomb]
    )
    words = act(members, at, chance, outside)
    _write(path, members, compression)
    if chance.random() < 0.05:
        raw = bytearray(path.read_bytes())
        # Bit 0 of the first member's flags marks it as encrypted.
        raw[6] |= 1
        path.write_bytes(raw)
        words += ", and encrypted"
    return words


def rename_checkpoint(path: Path, chance: Random, outside: Path) -> str:
    """Give a checkpoint another number or a second name."""
    stem = path.name.split(".checkpoint-")[0]
    number = chance.choice(
        [
            "000000000",
            "000000003",
            "000000006",
            "000000007",
            "999999999",
            "9" * 30,
            "4",
            "٣",
            "-1",
            "",
        ]
    )
    new = path.with_name(f"{stem}.checkpoint-{number}.npz")
    if chance.random() < 0.5:
        path.rename(new)
        return f"renamed to {new.name}"
    new.write_bytes(path.read_bytes())
    return f"copied to {new.name}"


def _values(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, raw = members[at]
    array = _array(raw)
    value = chance.choice([np.nan, np.inf, -1.0, 1e308, 0.0])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = np.full_like(array, value) if array.dtype.kind == "f" else array[::-1]
    members[at] = (name, _npy(new))
    return f"{name} is full of {value}"


def _dtype(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, raw = members[at]
    shape = _array(raw).shape
    dtype = chance.choice(
        ["f4", "f8", ">f8", "i8", "u1", "?", "c16", "S5", "U5", "M8[s]", "m8[D]", "V3", "f2",
         [("a", "f8")], [("a", "f8", (3,)), ("b", "S2")]]
    )  # fmt: skip
    members[at] = (name, _npy(np.zeros(shape, dtype)))
    return f"{name} is of dtype {dtype}"


def _shape(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, raw = members[at]
    array = _array(raw)
    count = array.size
    shape = chance.choice(
        [(), (0,), (count + 1,), (1, count), (count, 1), (0, count), (2, count), (1,) * 32]
    )
    members[at] = (name, _npy(np.resize(array, shape)))
    return f"{name} is of shape {shape}"


def _header(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, raw = members[at]
    descr, body = chance.choice(["<f8", "|u1", "|O", "<U9", "<f8,<f8", "x", "|V0"]), raw[128:]
    shape = chance.choice([f"({_HUGE},)", f"({2**40},{2**40})", "(-1,)", "(3,4)", "0", "(1e3,)"])
    texts = {
        "a huge shape": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({_HUGE},), }}",
        "another shape": f"{{'descr': {descr!r}, 'fortran_order': True, 'shape': {shape}, }}",
        "deep nesting": "(" * 5000,
        "long nesting": "[" * 200 + "]" * 200,
        "a call": "__import__('os').system('touch PWNED')",
        "nothing": "",
        "a list": "[]",
        "a huge number": "9" * 9000,
    }
    words = chance.choice([*texts, "a false version", "a length beyond the end"])
    if words in texts:
        text = texts[words].encode().ljust(118)
        raw = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + body
    elif words == "a false version":
        raw = b"\x93NUMPY" + chance.choice([b"\x03\x00", b"\x09\x09", b"\x00\x00"]) + raw[8:]
    else:
        raw = b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + raw[10:]
    members[at] = (name, raw)
    return f"{name} has a header with {words} ({descr}, {shape})"


def _about(members: Members, at: int, chance: Random, outside: Path) -> str:
    found = [place for place, (name, _) in enumerate(members) if name == "about.npy"]
    if not found:
        return _values(members, at, chance, outside)
    try:
        about = json.loads(_array(members[found[0]][1]).tobytes())
    except ValueError:  # An earlier mutation has damaged it.
        return _values(members, at, chance, outside)
    about, words = mutate_tree(about, chance, outside)
    text = json.dumps(about)
    if chance.random() < 0.1:
        text, words = chance.choice(["[" * 100_000, "", "null", "\x00", "{}", "3"]), "odd text"
    described = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    members[found[0]] = ("about.npy", _npy(described))
    return f"about: {words}"


def _names(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, raw = members[at]
    new = chance.choice(
        [name, "../x.npy", "/x.npy", "x", "/", "about.npy", "model.npy", "a\nb.npy"]
    )
    if chance.random() < 0.5:
        members.append((new, raw))
        return f"a further member {new!r}, a copy of {name}"
    members[at] = (new, raw)
    return f"{name} is called {new!r}"


def _pickle(members: Members, at: int, chance: Random, outside: Path) -> str:
    name, _ = members[at]
    # If unpickling creates this file, the fuzzer reports a change outside.
    evil = _Pickled(outside / "pickled")
    if chance.random() < 0.5:
        members[at] = (name, pickle.dumps(evil))
    else:
        array = np.array([evil], dtype=object)
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=True)
        members[at] = (name, stream.getvalue())
    return f"{name} is pickled"


def _bomb(members: Members, at: int, chance: Random, outside: Path) -> str:
    if chance.random() < 0.8:
        return _header(members, at, chance, outside)
    name, _ = members[at]
    members[at] = (name, "bomb")  # type: ignore[assignment]
    return f"{name} is 1.6 GB of zeros, compressed"


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """Return an archive with one compressed member of 1.6 GB of zeros."""
    stream = io.BytesIO()
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (200_000_000,)}
    )
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("bomb", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        block, left = bytes(2**24), 1_600_000_000
        while left:
            left -= member.write(block[:left])
    return stream.getvalue()


def _read(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        if any(member.file_size > 10**7 for member in archive.infolist()):
            raise ValueError("too large")
        return [(name, archive.read(name)) for name in archive.namelist()]


def _write(path: Path, members: Members, compression: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, raw in members:
                if raw == "bomb":
                    _copy_bomb(archive, name)
                else:
                    archive.writestr(name, raw)


def _copy_bomb(archive: zipfile.ZipFile, name: str) -> None:
    """Add the compressed member of the bomb without decompressing it."""
    with zipfile.ZipFile(io.BytesIO(bomb())) as source:
        about = source.getinfo("bomb")
    raw = bomb()[about.header_offset :]
    name_length, extra_length = struct.unpack("<HH", raw[26:30])
    start = 30 + name_length + extra_length
    new = zipfile.ZipInfo(name)
    new.compress_type, new.CRC = about.compress_type, about.CRC
    new.compress_size, new.file_size = about.compress_size, about.file_size
    new.header_offset = archive.fp.tell()
    archive.fp.write(new.FileHeader(zip64=False))
    archive.fp.write(raw[start : start + about.compress_size])
    archive.filelist.append(new)
    archive.NameToInfo[name] = new
    archive.start_dir = archive.fp.tell()
    archive._didModify = True


def _array(raw: bytes) -> np.ndarray[Any, Any]:
    with contextlib.suppress(Exception):
        return np.load(io.BytesIO(raw), allow_pickle=False)
    return np.zeros(3)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
