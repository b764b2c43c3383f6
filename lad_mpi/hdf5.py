"""Opening HDF5 files that somebody else may have made.

An HDF5 file can name other files, from which it then shows contents as its own: through
external links, external storage and virtual datasets. It can claim datasets of any size
without holding a byte of them. So every file is looked through when it is opened, and
refused if it is more than one plain file.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import struct
from typing import TYPE_CHECKING

import h5py

from lad_mpi.files import name_of, open_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The superblock of HDF5's file format specification, version 3.0, from its second
# version on: signature, version, consistency flags and address of the end of file.
_SUPERBLOCK = struct.Struct("<8s B 2x B 16x Q")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_FLAG = 4
#: How often HDF5 reads metadata that a writer may be changing, until the checksum is right. The
#: pauses double from 1 ns, so with HDF5's default of 100 attempts a damaged file hangs a reader.
_READ_ATTEMPTS = 25

#: What the contents of a file may take in memory, besides a multiple of the file's size.
_ROOM_BYTES = 2**26
#: How many times as large as what is stored a file may be, apart from that.
_HOLES = 16
#: A global heap, version 1: signature, size; and its objects: index, size.
_HEAP = b"GCOL\x01\0\0\0"
_HEAP_HEADER = struct.Struct("<8s Q")
_HEAP_OBJECT = struct.Struct("<H 6x Q")
_BLOCK_BYTES = 2**20
#: What stands for a text of a heap.
_REFERENCE_BYTES = 16
_MOST_OBJECTS = 10_000
_MOST_ATTRIBUTES = 1000
_LINKS = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}


class NotPlainError(ValueError):
    """An HDF5 file that is more than one plain file, or claims to be larger than it can be."""


def open_hdf5(path: Path, *, expansion: int | None) -> h5py.File:
    """Open a plain HDF5 file for reading.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    expansion : int or None
        How many times as large as the file its contents may be, apart from 64 MiB. None if
        nothing but attributes of the root is to be read: then the file is not looked through.

    Raises
    ------
    NotPlainError
        It has links to other places, external storage, virtual datasets, filters that are not
        known here, or datasets that are larger than the file can hold.
    OSError
        It cannot be opened, or is not a regular file or not an HDF5 file.
    """
    descriptor = open_descriptor(path, os.O_RDONLY, follow_links=True)
    try:
        # Not the apparent size: a sparse file can claim any.
        found = os.fstat(descriptor)
        stored_bytes = found.st_blocks * 512
        if found.st_size > _ROOM_BYTES + _HOLES * stored_bytes:
            raise NotPlainError(f"of its {found.st_size} bytes only {stored_bytes} are stored")
        longest_bytes = _check_heaps(descriptor)
        file = _open(name_of(descriptor), growing=_is_growing(descriptor))
    finally:
        os.close(descriptor)
    try:
        if expansion is not None:
            _check(file, _ROOM_BYTES + expansion * stored_bytes, stored_bytes, longest_bytes)
    except BaseException:
        file.close()
        raise
    return file


def is_hdf5(path: Path) -> bool:
    """Tell whether a regular file begins as HDF5 files do."""
    descriptor = open_descriptor(path, os.O_RDONLY, follow_links=True)
    try:
        return bool(h5py.is_hdf5(name_of(descriptor)))
    finally:
        os.close(descriptor)


def reason(error: Exception) -> str:
    """Return the system's message for an error of HDF5 or of the system; else its own, in one line.

    HDF5 buries the system's error number in a paragraph about its internals.
    """
    number = getattr(error, "errno", None)
    if number is None and (match := re.search(r"errno = (\d+)", str(error))):
        number = int(match[1])
    words = os.strerror(number) if number else str(error)
    return " ".join(words.split()) or type(error).__name__


def datasets_of(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets that lie in a group itself, by their names."""
    return {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}


def _open(name: str, *, growing: bool) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # As locking="best-effort" of h5py.File, which has no argument for the read attempts.
    access.set_file_locking(True, True)
    flags = h5py.h5f.ACC_RDONLY
    if growing:
        flags |= h5py.h5f.ACC_SWMR_READ
        # h5py does not offer this function; HDF5 is found through the extension that uses it.
        library = ctypes.CDLL(h5py.h5p.__file__)
        library.H5Pset_metadata_read_attempts(
            ctypes.c_int64(access.id), ctypes.c_uint(_READ_ATTEMPTS)
        )
    return h5py.File(h5py.h5f.open(name.encode(), flags, access))


def _is_growing(descriptor: int) -> bool:
    """Tell whether a writer has the file open in SWMR mode, or was killed then.

    Such a file opens in SWMR mode only, and no other should: HDF5 then takes
    missing pieces for pieces not yet written and waits for them.
    """
    head = os.pread(descriptor, _SUPERBLOCK.size, 0)
    if len(head) < _SUPERBLOCK.size:
        return False
    signature, version, consistency, end = _SUPERBLOCK.unpack(head)
    marked = signature == _SIGNATURE and version >= 3 and bool(consistency & _SWMR_FLAG)
    return marked and end <= os.fstat(descriptor).st_size


def _check_heaps(descriptor: int) -> int:
    """Check the chains of the global heaps, where texts are; return the bytes of the longest.

    HDF5 2.0 follows a chain that leads nowhere without end.

    Source: HDF5 file format specification, version 3.0, section III.E.
    """
    file_bytes = os.fstat(descriptor).st_size
    longest = heap_bytes = 0
    for start in _find_heaps(descriptor):
        header = os.pread(descriptor, _HEAP_HEADER.size, start)
        *_, size = _HEAP_HEADER.unpack(header.ljust(_HEAP_HEADER.size, b"\0"))
        size = min(size, file_bytes - start)
        heap_bytes += size
        if heap_bytes > file_bytes:
            raise NotPlainError("its heaps overlap")
        longest = max(longest, _longest_text(os.pread(descriptor, size, start), start))
    return longest


def _find_heaps(descriptor: int) -> Iterator[int]:
    """Give where heaps begin; not by mapping the file, which others may cut short meanwhile."""
    place = 0
    # Blocks overlap by all but one byte of a signature.
    while len(block := os.pread(descriptor, _BLOCK_BYTES, place)) >= len(_HEAP):
        found = block.find(_HEAP)
        while found >= 0:
            yield place + found
            found = block.find(_HEAP, found + 1)
        place += len(block) - len(_HEAP) + 1


def _longest_text(heap: bytes, start: int) -> int:
    longest, place = 0, _HEAP_HEADER.size
    while place + _HEAP_OBJECT.size <= len(heap):
        index, length = _HEAP_OBJECT.unpack_from(heap, place)
        # Object 0 is the free room, header included.
        step = length if index == 0 else _HEAP_OBJECT.size + -(-length // 8) * 8
        if step < _HEAP_OBJECT.size or place + step > len(heap):
            raise NotPlainError(f"its heap at byte {start} is damaged")
        longest = max(longest, length if index else 0)
        place += step
    return longest


def _check(file: h5py.File, room_bytes: int, stored_bytes: int, longest_bytes: int) -> None:
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise NotPlainError("its addresses do not have 8 bytes")
    # Attributes are stored, but each of their texts may be the longest one of the file.
    texts_may_fit = stored_bytes // _REFERENCE_BYTES * longest_bytes <= room_bytes
    claimed_bytes = 0
    for name, item in _objects(file):
        if (attributes := h5py.h5a.get_num_attrs(item)) > _MOST_ATTRIBUTES:
            raise NotPlainError(f"{name} has {attributes} attributes")
        claims = [] if texts_may_fit else list(_attribute_sizes(item, longest_bytes))
        if isinstance(item, h5py.h5d.DatasetID):
            _check_storage(name, item)
            claims.append(_claimed_bytes(item, longest_bytes))
        claimed_bytes += sum(claims)
        if claimed_bytes > room_bytes:
            raise NotPlainError(f"{name} claims {sum(claims)} bytes, more than the file can hold")


def _attribute_sizes(item: h5py.h5.ObjectID, longest_bytes: int) -> Iterator[int]:
    for number in range(h5py.h5a.get_num_attrs(item)):
        attribute = h5py.h5a.open(item, index=number)
        count = math.prod(attribute.shape or (0,))
        yield count * _item_bytes(attribute.get_type(), longest_bytes)


def _objects(file: h5py.File) -> Iterator[tuple[str, h5py.h5.ObjectID]]:
    """Give every object of a file once, with its path; refuse links that are no hard links."""
    root = h5py.h5g.open(file.id, b"/")
    yield "/", root
    found, todo = {h5py.h5o.get_info(root).addr}, [("", root)]
    while todo:
        place, group = todo.pop()
        for name in group:
            path = f"{place}/{name.decode(errors='replace')}"
            kind = group.links.get_info(name).type
            if kind != h5py.h5l.TYPE_HARD:
                raise NotPlainError(f"{path} is {_LINKS.get(kind, 'a link of an unknown kind')}")
            item = h5py.h5o.open(group, name)
            address = h5py.h5o.get_info(item).addr
            if address in found:
                continue
            found.add(address)
            if len(found) > _MOST_OBJECTS:
                raise NotPlainError(f"it has more than {_MOST_OBJECTS} objects")
            yield path, item
            if isinstance(item, h5py.h5g.GroupID):
                todo.append((path, item))


def _check_storage(name: str, dataset: h5py.h5d.DatasetID) -> None:
    created = dataset.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL:
        raise NotPlainError(f"{name} is a virtual dataset, which shows contents of other files")
    if created.get_external_count():
        raise NotPlainError(f"{name} is stored in another file")
    for number in range(created.get_nfilters()):
        code = created.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            raise NotPlainError(f"{name} is compressed by filter {code}, which is not known here")


def _claimed_bytes(dataset: h5py.h5d.DatasetID, longest_bytes: int) -> int:
    """Return what reading a dataset may take, of which a chunk is the least."""
    created = dataset.get_create_plist()
    chunked = created.get_layout() == h5py.h5d.CHUNKED
    chunk = math.prod(created.get_chunk()) if chunked else 0
    count = max(math.prod(dataset.shape or (0,)), chunk)
    return count * _item_bytes(dataset.get_type(), longest_bytes)


def _item_bytes(kind: h5py.h5t.TypeID, longest_bytes: int) -> int:
    """Return the bytes of a value; each of many may be the longest text of the file."""
    is_fixed = kind.get_class() in {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM}
    return int(kind.get_size()) + (0 if is_fixed else longest_bytes)
