"""A file that refers to other files, or claims more than it can hold, is refused."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

from lad_mpi.hdf5 import NotPlainError, open_hdf5


def _external_link(file):
    file["x"] = h5py.ExternalLink("other.h5", "/secret")


def _soft_link(file):
    file["x"] = h5py.SoftLink("/data")


def _deep_link(file):
    file.create_group("a/b/c")["x"] = h5py.ExternalLink("other.h5", "/secret")


def _external_storage(file):
    file.create_dataset("x", (4,), "u1", external=[("secret.txt", 0, 4)])


def _virtual(file):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
    file.create_virtual_dataset("x", layout)


def _unknown_filter(file):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((4,))
    created.set_filter(400, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4,)), created)


def _many_rows(file):
    file.create_dataset("x", (10**12,), "f8", chunks=(1024,))


def _many_rows_unchunked(file):
    file.create_dataset("x", (10**12,), "f8")


def _large_chunk(file):
    file.create_dataset("x", (1,), "f8", maxshape=(None,), chunks=(10**8,), compression="gzip")


def _bomb(file):
    file.create_dataset("x", data=np.zeros(3 * 10**7, np.float32), compression="gzip")


def _many_datasets(file):
    for number in range(30):
        file.create_dataset(f"x{number}", (10**6,), "f8", chunks=(1024,))


def _many_objects(file):
    group = file.create_group("g")
    for number in range(10_001):
        group.create_group(str(number))


def _many_attributes(file):
    for number in range(1001):
        file.attrs[str(number)] = 1


def _long_texts(file):
    file.attrs["x"] = np.array(["x" * 10**6] + [""] * 3999, dtype=h5py.string_dtype())


HOSTILE = {
    "external link": (_external_link, "/x is an external link"),
    "soft link": (_soft_link, "/x is a soft link"),
    "deep link": (_deep_link, "/a/b/c/x is an external link"),
    "external storage": (_external_storage, "/x is stored in another file"),
    "virtual dataset": (_virtual, "/x is a virtual dataset"),
    "unknown filter": (_unknown_filter, "filter 400, which is not available"),
    "many rows": (_many_rows, "/x claims 8000000000000 bytes"),
    "many rows in one piece": (_many_rows_unchunked, "/x claims 8000000000000 bytes"),
    "large chunk": (_large_chunk, "/x claims 800000000 bytes"),
    "bomb": (_bomb, "/x claims 120000000 bytes"),
    "many datasets": (_many_datasets, "claims 8000000 bytes"),
    "many objects": (_many_objects, "more than 10000 objects"),
    "long texts": (_long_texts, "/ claims 40000"),
    "many attributes": (_many_attributes, "1001 attributes"),
}


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(tmp_path, make, words):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["data"] = np.arange(3)
        make(file)
    with pytest.raises(NotPlainError, match=words):
        open_hdf5(path, expansion=16)


def test_holes_of_a_sparse_file_do_not_count(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        _many_datasets(file)
    os.truncate(path, 10**12)
    with pytest.raises(NotPlainError, match="of its 1000000000000 bytes are stored"):
        open_hdf5(path, expansion=16)


def test_groups_in_a_circle_are_checked_once(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = file["/"]
        file["data"] = np.arange(3)
    with open_hdf5(path, expansion=16) as file:
        assert list(file["a/b/a/b/data"]) == [0, 1, 2]


def test_a_compressed_file_of_ordinary_numbers_is_plain(tmp_path):
    path = tmp_path / "x.h5"
    values = np.random.default_rng(1).random(10**6)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, compression="gzip", shuffle=True)
    with open_hdf5(path, expansion=16) as file:
        np.testing.assert_array_equal(file["x"][:], values)


@pytest.mark.timeout(5)
def test_a_fifo_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.h5")
    with pytest.raises(OSError, match="not a regular file"):
        open_hdf5(tmp_path / "x.h5", expansion=16)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("length", [0, 8, 10**6])
def test_a_damaged_heap_is_refused_and_does_not_hang(tmp_path, length):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "text"
    content = bytearray(path.read_bytes())
    # A heap: signature, size, and the first object with index and length.
    place = content.find(b"GCOL") + 16
    content[place : place + 16] = bytes(8) + length.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(NotPlainError, match=r"its heap at byte .* is damaged"):
        open_hdf5(path, expansion=16)


@pytest.mark.timeout(20)
def test_heaps_in_heaps_take_no_longer_than_others(tmp_path):
    path = tmp_path / "x.h5"
    # Each heap has one object, which extends to the end of the file.
    count = 40_000
    heap = b"GCOL\x01\0\0\0" + (2**40).to_bytes(8, "little") + (1).to_bytes(8, "little")
    lengths = (32 * left for left in reversed(range(count)))
    path.write_bytes(b"".join(heap + length.to_bytes(8, "little") for length in lengths))
    with pytest.raises(NotPlainError, match="its heaps overlap"):
        open_hdf5(path, expansion=16)


def test_a_heap_is_found_wherever_blocks_of_reading_end(tmp_path):
    path = tmp_path / "x.h5"
    for place in range(2**20 - 12, 2**20 + 4):
        path.write_bytes(
            bytes(place) + b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + bytes(64)
        )
        with pytest.raises(NotPlainError, match=f"its heap at byte {place} is damaged"):
            open_hdf5(path, expansion=16)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("place", ["superblock", "object header"])
def test_a_damaged_file_that_seems_to_grow_does_not_block_a_reader(tmp_path, place):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("x", data=np.arange(3.0))
        file.swmr_mode = True
        file.flush()
        # Copy the file while it is open, as a kill would leave it.
        content = bytearray(path.read_bytes())
    damaged = 12 if place == "superblock" else content.find(b"OHDR") + 20
    content[damaged] ^= 255
    path.write_bytes(content)
    with pytest.raises((OSError, ValueError), match="checksum"):
        open_hdf5(path, expansion=16)
