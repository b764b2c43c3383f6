"""Open HDF5 files from untrusted sources.

An HDF5 file can show contents of other files as its own: through external links, external
storage and virtual datasets. It can also claim datasets of any size without storing a byte.
So every file is checked when it is opened, and refused if it refers to other files or claims
more than it can hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import re
import shutil
import struct
from typing import TYPE_CHECKING

import h5py

from lad_mpi.files import name_of, open_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The superblock, version 2 and later, of the HDF5 file format specification, version 3.0:
# signature, version, consistency flags and end-of-file address.
_SUPERBLOCK = struct.Struct("<8s B 2x B 16x Q")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_FLAG = 4
#: How often HDF5 reads metadata that a writer may be changing, until the checksum matches. The
#: pauses double from 1 ns, so with HDF5's default of 100 attempts a damaged file hangs a reader.
_READ_ATTEMPTS = 25

#: Memory that the contents may take in addition to a multiple of the stored bytes.
_ROOM_BYTES = 2**26
#: Maximum ratio of the file's size to its stored bytes, apart from _ROOM_BYTES.
_HOLES = 16
# A global heap, version 1: signature and size; and its objects: index and size.
_HEAP = b"GCOL\x01\0\0\0"
_HEAP_HEADER = struct.Struct("<8s Q")
_HEAP_OBJECT = struct.Struct("<H 6x Q")
_BLOCK_BYTES = 2**20
#: Size of a reference to a text in a heap.
_REFERENCE_BYTES = 16
_MOST_OBJECTS = 10_000
_MOST_ATTRIBUTES = 1000
_LINKS = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}


class NotPlainError(ValueError):
    """An HDF5 file that refers to other files, or claims more than it can hold."""


def open_hdf5(path: Path, *, expansion: int | None) -> h5py.File:
    """Open a plain HDF5 file for reading.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    expansion : int or None
        Maximum ratio of the contents' size to the file's stored bytes, apart from 64 MiB.
        With None the contents are not checked; then read only attributes of the root.

    Returns
    -------
    h5py.File
        The open file.

    Raises
    ------
    NotPlainError
        The file has soft or external links, external storage, virtual datasets, unknown
        filters, or datasets that are larger than the file can hold.
    OSError
        The file cannot be opened, or is not a regular file or not an HDF5 file.
    """
    descriptor = open_descriptor(path, os.O_RDONLY, follow_links=True)
    try:
        # Count allocated blocks: a sparse file can have any apparent size.
        found = os.fstat(descriptor)
        stored_bytes = found.st_blocks * 512
        if found.st_size > _ROOM_BYTES + _HOLES * stored_bytes:
            raise NotPlainError(f"only {stored_bytes} of its {found.st_size} bytes are stored")
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
    """Return whether a regular file has the signature of HDF5."""
    descriptor = open_descriptor(path, os.O_RDONLY, follow_links=True)
    try:
        return bool(h5py.is_hdf5(name_of(descriptor)))
    finally:
        os.close(descriptor)


def reason(error: Exception) -> str:
    """Return a message of one line for an error of HDF5 or of the system.

    HDF5 mentions the system's error number in a paragraph about its internals. If there is a
    number, return the system's message for it, else the error's own message.
    """
    number = getattr(error, "errno", None)
    if number is None and (match := re.search(r"errno = (\d+)", str(error))):
        number = int(match[1])
    words = os.strerror(number) if number else str(error)
    return " ".join(words.split()) or type(error).__name__


def datasets_of(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets directly in a group, by name."""
    return {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}


def holds_text(dataset: h5py.Dataset) -> bool:
    """Return whether the elements of a dataset are texts."""
    return h5py.check_string_dtype(dataset.dtype) is not None


def close_broken(file: h5py.File) -> None:
    """Close a file that cannot be written any more, and leave it on disk as it is."""
    with contextlib.suppress(OSError, RuntimeError):
        # Extend the file to its nominal size, so that readers do not find it truncated.
        os.ftruncate(file.id.get_vfd_handle(), file.id.get_filesize())
    with contextlib.suppress(OSError, RuntimeError):
        # HDF5 crashes the process at exit if it cannot close a file. So replace the file
        # under its descriptor with a copy in memory, which HDF5 can close.
        if hasattr(os, "memfd_create"):
            descriptor = file.id.get_vfd_handle()
            # Use the descriptor, because the path may belong to another file by now.
            with os.fdopen(os.dup(descriptor), "rb") as stored:
                memory = os.memfd_create("broken")
                os.dup2(memory, descriptor)
                stored.seek(0)
                with os.fdopen(memory, "wb") as copy:
                    shutil.copyfileobj(stored, copy)
        file.close()


def _open(name: str, *, growing: bool) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # The same as locking="best-effort" of h5py.File, which cannot set the read attempts.
    access.set_file_locking(True, True)
    flags = h5py.h5f.ACC_RDONLY
    if growing:
        flags |= h5py.h5f.ACC_SWMR_READ
        # h5py does not wrap this function. Its extension module leads to the HDF5 library.
        library = ctypes.CDLL(h5py.h5p.__file__)
        library.H5Pset_metadata_read_attempts(
            ctypes.c_int64(access.id), ctypes.c_uint(_READ_ATTEMPTS)
        )
    return h5py.File(h5py.h5f.open(name.encode(), flags, access))


def _is_growing(descriptor: int) -> bool:
    """Return whether a writer has the file open in SWMR mode, or was killed in that mode.

    Such a file can only be opened in SWMR mode. Other files should not be opened in it: HDF5
    would wait for missing pieces as if a writer were about to write them.
    """
    head = os.pread(descriptor, _SUPERBLOCK.size, 0)
    if len(head) < _SUPERBLOCK.size:
        return False
    signature, version, consistency, end = _SUPERBLOCK.unpack(head)
    marked = signature == _SIGNATURE and version >= 3 and bool(consistency & _SWMR_FLAG)
    return marked and end <= os.fstat(descriptor).st_size


def _check_heaps(descriptor: int) -> int:
    """Check the global heaps, which hold texts; return the length of the longest text in bytes.

    HDF5 2.0 loops forever in a heap whose objects do not lead to its end.

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
    """Yield the offsets of heaps.

    The file is not mapped into memory, because another process may truncate it meanwhile.
    """
    place = 0
    # Blocks overlap, so that a signature across two blocks is found.
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
        # Object 0 is the free space; its length includes the header.
        step = length if index == 0 else _HEAP_OBJECT.size + -(-length // 8) * 8
        if step < _HEAP_OBJECT.size or place + step > len(heap):
            raise NotPlainError(f"its heap at byte {start} is damaged")
        longest = max(longest, length if index else 0)
        place += step
    return longest


def _check(file: h5py.File, room_bytes: int, stored_bytes: int, longest_bytes: int) -> None:
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise NotPlainError("its addresses do not have 8 bytes")
    # Attributes are stored in the file, but any of their texts may refer to the longest one.
    texts_may_fit = stored_bytes // _REFERENCE_BYTES * longest_bytes <= room_bytes
    claimed_bytes = 0
    for name, item in _objects(file):
        if (attributes := h5py.h5a.get_num_attrs(item)) > _MOST_ATTRIBUTES:
            raise NotPlainError(f"{name} has {attributes} attributes")
        claims = [] if texts_may_fit else list(_attribute_sizes(item, longest_bytes))
        if isinstance(item, h5py.h5d.DatasetID):
            created = item.get_create_plist()
            _check_storage(name, created)
            claims.append(_claimed_bytes(item, created, longest_bytes))
        claimed_bytes += sum(claims)
        if claimed_bytes > room_bytes:
            raise NotPlainError(f"{name} claims {sum(claims)} bytes, more than the file can hold")


def _attribute_sizes(item: h5py.h5.ObjectID, longest_bytes: int) -> Iterator[int]:
    for number in range(h5py.h5a.get_num_attrs(item)):
        attribute = h5py.h5a.open(item, index=number)
        count = math.prod(attribute.shape or (0,))
        yield count * _item_bytes(attribute.get_type(), longest_bytes)


def _objects(file: h5py.File) -> Iterator[tuple[str, h5py.h5.ObjectID]]:
    """Yield every object of a file once, with its path; refuse links other than hard links."""
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


def _check_storage(name: str, created: h5py.h5p.PropDCID) -> None:
    if created.get_layout() == h5py.h5d.VIRTUAL:
        raise NotPlainError(f"{name} is a virtual dataset, which shows contents of other files")
    if created.get_external_count():
        raise NotPlainError(f"{name} is stored in another file")
    for number in range(created.get_nfilters()):
        code = created.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            raise NotPlainError(f"{name} uses filter {code}, which is not available")


def _claimed_bytes(
    dataset: h5py.h5d.DatasetID, created: h5py.h5p.PropDCID, longest_bytes: int
) -> int:
    """Return the memory that reading a dataset may take, at least one chunk."""
    chunked = created.get_layout() == h5py.h5d.CHUNKED
    chunk = math.prod(created.get_chunk()) if chunked else 0
    count = max(math.prod(dataset.shape or (0,)), chunk)
    return count * _item_bytes(dataset.get_type(), longest_bytes)


def _item_bytes(kind: h5py.h5t.TypeID, longest_bytes: int) -> int:
    """Return the maximum size of a value, which may refer to the longest text of the file."""
    is_fixed = kind.get_class() in {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM}
    return int(kind.get_size()) + (0 if is_fixed else longest_bytes)
