"""Images and labels in NumPy archives, HDF5 and IDX files, with gzip and without."""

import gzip
import struct

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lad_mpi.data.columns import TableKeys
from lad_mpi.data.readers import read_samples
from lad_mpi.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 3), dtype=np.uint8)
NUMBERS = np.arange(12, dtype=np.uint8) % 3
WORDS = np.array(["cat", "dog", "größe"])[NUMBERS]
_CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array):
    """Return an array as an IDX file has it."""
    code = _CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return (
        bytes([0, 0, code, array.ndim])
        + sizes
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def write_hdf5(path, X, y):
    with h5py.File(path, "w") as file:
        file["X"] = X
        file["y"] = y.tolist() if y.dtype.kind == "U" else y


WRITERS = {"npz": lambda path, X, y: np.savez(path, X=X, y=y), "h5": write_hdf5}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Return a function that writes arrays to a file, and returns its path."""

    def written(X, y, name="d"):
        path = tmp_path / f"{name}.{request.param}"
        WRITERS[request.param](path, X, y)
        return path

    return written


def packed(path):
    """Compress a file, as gzip does."""
    other = path.with_name(f"{path.name}.gz")
    other.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return other


def refusal(path):
    with pytest.raises(DataError) as caught:
        read_samples(str(path))
    assert caught.value.hint
    return caught.value.message


def test_images_keep_their_shape_and_are_scaled(write):
    found = read_samples(str(write(IMAGES, NUMBERS)))
    assert found.shape == (4, 3)
    assert found.are_images
    np.testing.assert_array_equal(found.features, IMAGES.reshape(12, 12) / 255)
    np.testing.assert_array_equal(found.targets, NUMBERS)
    assert found.reading.endswith("12 samples x 4 x 3 features, scaled to [0, 1]")


@pytest.mark.parametrize("X", [IMAGES.astype(float), IMAGES.astype(np.uint16)])
def test_only_images_of_bytes_are_scaled(write, X):
    found = read_samples(str(write(X, NUMBERS)))
    np.testing.assert_array_equal(found.features, IMAGES.reshape(12, 12))
    table = read_samples(str(write(IMAGES.reshape(12, 12), NUMBERS)))
    np.testing.assert_array_equal(table.features, found.features)
    assert not table.are_images


def test_channels_and_shape_are_part_of_the_digest(write):
    shapes = [(4, 3), (1, 4, 3), (2, 2, 3), (12,)]
    X = IMAGES.astype(float)
    found = [read_samples(str(write(X.reshape(12, *shape), NUMBERS))) for shape in shapes]
    assert [samples.shape for samples in found] == shapes
    assert len({samples.digest for samples in found}) == len(shapes)


def test_labels_may_be_words(write):
    found = read_samples(str(write(IMAGES, WORDS)))
    assert found.targets.tolist() == WORDS.tolist()


def test_labels_may_be_bytes(tmp_path):
    np.savez(tmp_path / "d.npz", X=IMAGES, y=np.char.encode(WORDS, "utf-8"))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["X"], file["y"] = IMAGES, np.char.encode(WORDS, "utf-8")
    for name in ("d.npz", "d.h5"):
        assert read_samples(str(tmp_path / name)).targets.tolist() == WORDS.tolist()


def test_words_have_the_same_digest_in_every_format(write, tmp_path):
    rows = [f"{a},{b},{word}" for (a, b), word in zip(IMAGES[:, 0, :2], WORDS, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,y", *rows]))
    digest = read_samples(str(tmp_path / "d.csv")).digest
    table = IMAGES[:, 0, :2].astype(float)
    assert read_samples(str(write(table, WORDS))).digest == digest
    others = [WORDS[::-1], np.char.add(WORDS, "s"), np.where(WORDS == "cat", "c", WORDS)]
    assert digest not in {read_samples(str(write(table, y))).digest for y in others}


@pytest.mark.parametrize(
    ("bad", "words"), [("", "is empty"), ("x" * 201, "is too long")], ids=["empty", "long"]
)
def test_a_label_that_is_empty_or_too_long(write, bad, words):
    y = np.where(np.arange(12) == 7, bad, WORDS)
    assert f"the label of sample 7 (counted from 0) {words}" in refusal(write(IMAGES, y))


def test_labels_that_are_not_utf_8(tmp_path):
    np.savez(tmp_path / "d.npz", X=IMAGES, y=np.char.encode(WORDS, "latin-1"))
    assert "a label in y is not UTF-8" in refusal(tmp_path / "d.npz")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["X"], file["y"] = IMAGES, np.char.encode(WORDS, "latin-1")
    assert "codec can't decode" in refusal(tmp_path / "d.h5")


def test_binary_files_may_be_in_gzip(write):
    path = write(IMAGES, WORDS)
    before = read_samples(str(path))
    after = read_samples(str(packed(path)))
    assert after.digest == before.digest
    assert "gzip" in after.reading
    assert "gzip" not in before.reading


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1),
    in_gzip=st.booleans(),
    kind=st.sampled_from([*WRITERS, "idx"]),
)
def test_damaged_images_are_read_or_refused(tmp_path, changes, keep, in_gzip, kind):
    path = tmp_path / "images-idx3-ubyte"
    if kind == "idx":
        write_mnist(tmp_path, path.name, "labels-idx1-ubyte")
    else:
        with path.open("w+b") as stream:
            WRITERS[kind](stream, IMAGES, WORDS)
    damaged = bytearray(path.read_bytes())
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    content = bytes(damaged[: round(keep * len(damaged))])
    path.write_bytes(gzip.compress(content) if in_gzip else content)
    try:
        found = read_samples(str(path))
    except DataError:
        return
    assert np.isfinite(found.features).all()
    assert len(found.features) == len(found.targets) > 0


def write_mnist(folder, images="train-images-idx3-ubyte", labels="train-labels-idx1-ubyte"):
    (folder / images).write_bytes(idx(IMAGES))
    (folder / labels).write_bytes(idx(NUMBERS))
    return folder / images, folder / labels


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte"),
    ],
)
@pytest.mark.parametrize("in_gzip", [(), (0,), (1,), (0, 1)])
def test_idx_files_as_mnist_is_distributed(tmp_path, names, in_gzip):
    paths = [
        packed(path) if i in in_gzip else path
        for i, path in enumerate(write_mnist(tmp_path, *names))
    ]
    found = read_samples(str(paths[0]))
    assert found.shape == (4, 3)
    np.testing.assert_array_equal(found.features, IMAGES.reshape(12, 12) / 255)
    np.testing.assert_array_equal(found.targets, NUMBERS)
    gzip_note = ", gzip" if 0 in in_gzip else ""
    assert found.reading == f"IDX, 12 samples x 4 x 3 features{gzip_note}, scaled to [0, 1]"


@pytest.mark.parametrize("dtype", _CODES)
def test_idx_files_of_every_type(tmp_path, dtype):
    images, _ = write_mnist(tmp_path)
    values = (IMAGES // 2).astype(dtype)
    images.write_bytes(idx(values))
    scale = 255 if dtype == "u1" else 1
    found = read_samples(str(images)).features
    np.testing.assert_array_equal(found, values.reshape(12, 12).astype(float) / scale)


def test_the_labels_of_idx_images_are_part_of_their_state(tmp_path):
    from lad_mpi.data import File

    images, labels = write_mnist(tmp_path)
    before = File(str(images)).digest()
    labels.write_bytes(idx(NUMBERS[::-1].copy()))
    assert File(str(images)).digest() != before


def test_idx_images_without_labels(tmp_path):
    images, labels = write_mnist(tmp_path)
    labels.unlink()
    assert "its labels, 'train-labels-idx1-ubyte', are not beside it" in refusal(images)
    moved = images.rename(tmp_path / "train")
    assert "its name does not say where its labels are" in refusal(moved)
    images, labels = write_mnist(tmp_path)
    labels.write_text("1\n2\n")
    assert "has the name of the labels" in refusal(images)
    labels.write_bytes(idx(NUMBERS[:5]))
    assert "found (12, 4, 3) and (5,)" in refusal(images)
    with pytest.raises(DataError, match="does not say where its labels are"):
        read_samples(str(labels))


def test_keys_of_tables_are_refused_for_idx_files(tmp_path):
    images, _ = write_mnist(tmp_path)
    with pytest.raises(DataError, match="are for tables, and this is IDX"):
        read_samples(str(images), TableKeys(target=1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(IMAGES)[:-1], "its header says 144 bytes in the shape"),
        (idx(IMAGES) + b"\0", "its header says 144 bytes in the shape"),
        (idx(IMAGES)[:9], "header"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**30, 2**10, 2**10), "claims"),
        (b"\0\0\x08\xff" + b"\xff" * 2000, "claims"),
        (b"\0\0\x08\0", "header|expected features"),
    ],
    ids=["short", "long", "cut", "claimed", "axes", "no axes"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_files_that_are_not_sound(tmp_path, content, words, pack):
    images, _ = write_mnist(tmp_path)
    images.write_bytes(pack(content))
    with pytest.raises(DataError, match=words):
        read_samples(str(images))
