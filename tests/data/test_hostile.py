"""Hostile data files: they must not hang a run, fill memory, or expose other files."""

import gzip
import io
import math
import os
import resource
import socket
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from lad_mpi.data import text
from lad_mpi.data.readers import read_samples
from lad_mpi.errors import DataError

FEATURES, TARGETS = np.arange(20.0).reshape(10, 2) ** 2, np.arange(10.0)


def write_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, write_socket, lambda path: path.symlink_to("/dev/full")]
)
@pytest.mark.parametrize("suffix", [".npz", ".npz.gz", ".h5", ".csv", ".csv.gz", ".svm"])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, make, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"d{suffix}"
    make(path)
    with pytest.raises(DataError, match="regular files only"):
        read_samples(str(path))
    # What has come under the name since the file was looked at.
    with pytest.raises(OSError, match="not a regular file"):
        text.beginning(path)


def external_link(file, tmp_path):
    file["X"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/X")


def soft_link(file, tmp_path):
    file["other"] = FEATURES
    file["X"] = h5py.SoftLink("/other")


def external_storage(file, tmp_path):
    (tmp_path / "raw").write_bytes(FEATURES.tobytes())
    file.create_dataset("X", (10, 2), "f8", external=[(str(tmp_path / "raw"), 0, 160)])


def virtual(file, tmp_path):
    layout = h5py.VirtualLayout((10, 2), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "X", (10, 2))
    file.create_virtual_dataset("X", layout)


def claimed(file, tmp_path):
    file.create_dataset("X", (10**12, 2), "f8", chunks=(1000, 2))


def bomb(file, tmp_path):
    zeros = np.zeros((2**24, 8), "u1")
    file.create_dataset("X", data=zeros, chunks=(2**20, 8), compression=9)


def bytes_(file, tmp_path):
    file.create_dataset("X", data=np.zeros((10**6, 16), "u1"), compression=9, chunks=(1000, 16))


def words(file, tmp_path):
    file["X"] = ["a"] * 10


def datatype(file, tmp_path):
    file["X"] = np.dtype("f8")


def empty(file, tmp_path):
    file["X"] = h5py.Empty("f8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (external_link, "/X is an external link"),
        (soft_link, "/X is a soft link"),
        (external_storage, "/X is stored in another file"),
        (virtual, "/X is a virtual dataset"),
        (claimed, "/X claims 16000000000000 bytes"),
        (bomb, "claims 134217728 bytes"),
        (bytes_, "X claims 128000000 bytes"),
        (words, "X must hold real numbers"),
        (datatype, "no array 'X'"),
        (empty, "X must hold real numbers"),
    ],
)
def test_hdf5_data_are_one_plain_file(tmp_path, make, message):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["X"] = FEATURES
    with h5py.File(tmp_path / "d.h5", "w") as file:
        make(file, tmp_path)
        file["y"] = TARGETS
    with pytest.raises(DataError, match=message):
        read_samples(str(tmp_path / "d.h5"))


def npy(shape, content, version=(1, 0), dtype="<f8"):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    if version == (1, 0):
        np.lib.format.write_array_header_1_0(stream, header)
    else:
        np.lib.format.write_array_header_2_0(stream, header)
    return stream.getvalue() + content


def archive(path, member):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("X.npy", member)
        out.writestr("y.npy", npy((10,), TARGETS.tobytes()))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy((10**12, 2), FEATURES.tobytes()), "X.npy claims 16000000000000 bytes"),
        (npy((10**12, 2), FEATURES.tobytes(), (2, 0)), "X.npy claims 16000000000000 bytes"),
        (npy((2**27,), bytes(2**27), dtype="|u1"), "X.npy claims 1073741824"),
        (npy((10, 2), bytes(8)), "X.npy claims 160 bytes"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "version"),
        (b"\x93NUMPY", "cannot be read as NPZ"),
        (npy((10, 2), b"x" * 200, dtype="|O"), "never unpickled|claims|Object"),
        (b"text", "X must hold real numbers|cannot be read"),
    ],
    ids=["claimed", "claimed 2.0", "bomb", "short", "3.0", "cut", "objects", "text"],
)
def test_arrays_are_no_larger_than_the_archive_can_hold(tmp_path, member, message):
    archive(tmp_path / "d.npz", member)
    with pytest.raises(DataError, match=message):
        read_samples(str(tmp_path / "d.npz"))


def test_a_member_never_unpacks_to_more_than_it_names(tmp_path):
    path = tmp_path / "d.npz"
    archive(path, npy((2**22, 8), bytes(2**28)))
    content = path.read_bytes().replace((2**28 + 128).to_bytes(4, "little"), b"\xa0\0\0\0")
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_samples(str(path))


def test_archives_that_numpy_writes_are_read(tmp_path):
    sparse = np.zeros((4000, 50))
    sparse[:, 0] = np.arange(4000) ** 2.0
    np.savez_compressed(tmp_path / "d.npz", X=sparse, y=sparse[:, 0])
    assert read_samples(str(tmp_path / "d.npz")).features.shape == sparse.shape


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv.gz", b"1,2,3", r"line 1: has more than 16777216 characters"),
        (
            "d.csv.gz",
            b"1.5,2.5" + b" " * 2**16 + b"\n",
            "more than 100 times as large",
        ),
        (
            "d.svm.gz",
            b"1 1:1" + b" " * 2**16 + b"\n",
            "more than 100 times as large",
        ),
    ],
)
def test_text_that_fills_memory_is_refused(tmp_path, name, content, message):
    packed = gzip.compress(content * (2**27 // len(content)), 9)
    (tmp_path / name).write_bytes(packed)
    if "svm" in name:
        pytest.importorskip("sklearn")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=message):
        read_samples(str(tmp_path / name))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


def test_an_index_of_libsvm_text_makes_no_array_that_fills_memory(tmp_path):
    pytest.importorskip("sklearn")
    path = tmp_path / "d.svm"
    path.write_text("1 1:1 1000000000:1\n")
    with pytest.raises(DataError, match="indices up to 1000000000 take 8000000000 bytes"):
        read_samples(str(path))
    path.write_text("1 1:1 9223372036854775808:1\n")
    with pytest.raises(DataError):
        read_samples(str(path))


def idx(shape, content):
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + content


def npz(shape, content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        out.writestr("X.npy", npy(shape, content, dtype="|u1"))
        out.writestr("y.npy", npy((shape[0],), bytes(8 * shape[0])))
    return stream.getvalue()


def hdf5(shape, content):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["X"] = np.frombuffer(content, "u1").reshape(shape)
        file["y"] = np.zeros(shape[0])
    return stream.getvalue()


@pytest.mark.parametrize("make", [idx, npz, hdf5])
@pytest.mark.parametrize(
    ("millions", "message"),
    [
        # As float64 it would take 64 MiB and 200 times the unpacked size, but not the packed one.
        (12, "claims 100663296 bytes"),
        (64, "more than 100 times as large as its gzip file"),
    ],
)
def test_a_binary_file_in_gzip_cannot_fill_memory(tmp_path, make, millions, message):
    shape = (millions, 2**10, 2**10)
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(make(shape, bytes(math.prod(shape))), 9))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx(shape[:1], bytes(millions)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=message):
        read_samples(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, write_socket])
def test_labels_of_images_are_regular_files_too(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images-idx3-ubyte").write_bytes(idx((2, 1, 1), b"ab"))
    make(tmp_path / "labels-idx1-ubyte")
    with pytest.raises(DataError, match="are not beside it"):
        read_samples("images-idx3-ubyte")


@pytest.mark.parametrize("name", ["d.h5", "d.txt"])
def test_one_long_label_does_not_make_all_labels_long(tmp_path, name):
    # In one array, each would take 4 MB.
    labels = ["x" * 10**6, *["a"] * 250]
    if name == "d.txt":
        (tmp_path / name).write_text("".join(f"1 0 {label}\n" for label in labels))
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["X"], file["y"] = np.zeros((251, 1)), labels
    tracemalloc.start()
    with pytest.raises(DataError, match=r"the label of sample 0 .* is too long"):
        read_samples(str(tmp_path / name))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000
