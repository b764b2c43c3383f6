import hashlib
import os
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lad_mpi.errors import DataError
from lad_mpi.problems import datasets

X = np.array([[1.0, 0.5], [0.0, -2.0], [3.0, 4.25]])
Y = np.array([1.0, -1.5, 2.0])


def write_npz(path):
    np.savez(path, X=X, y=Y)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = X, Y


def write_csv(path):
    np.savetxt(path, np.column_stack([X, Y]), delimiter=",")


def write_libsvm(path):
    path.write_text("1 1:1 2:0.5\n-1.5 2:-2\n2 1:3 2:4.25\n")


WRITERS = {
    ".npz": write_npz,
    ".h5": write_hdf5,
    ".csv": write_csv,
    ".libsvm": write_libsvm,
    ".svm": write_libsvm,
    ".txt": write_libsvm,
}


def test_every_ending_is_tried():
    assert set(WRITERS) == set(datasets.SUFFIXES)


@pytest.fixture(params=WRITERS)
def data_file(request, tmp_path):
    if WRITERS[request.param] is write_libsvm:
        pytest.importorskip("sklearn")
    path = tmp_path / f"data{request.param}"
    WRITERS[request.param](path)
    return path


def test_every_format_reads_the_same(data_file):
    found = datasets.read(str(data_file))
    np.testing.assert_array_equal(found.features, X)
    np.testing.assert_array_equal(found.targets, Y)
    assert found.features.dtype == found.targets.dtype == np.float64


def test_the_ending_may_be_in_capitals(data_file):
    path = data_file.rename(data_file.with_suffix(data_file.suffix.upper()))
    np.testing.assert_array_equal(datasets.read(str(path)).features, X)


def refusal(path):
    with pytest.raises(DataError) as caught:
        datasets.read(str(path))
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1),
)
def test_a_damaged_file_is_read_or_refused(data_file, changes, keep):
    intact = data_file.read_bytes()
    damaged = bytearray(intact)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    data_file.write_bytes(damaged[: round(keep * len(damaged))])
    try:
        found = datasets.read(str(data_file))
    except DataError:
        return
    finally:
        data_file.write_bytes(intact)
    assert np.isfinite(found.features).all()
    assert np.isfinite(found.targets).all()
    assert len(found.features) == len(found.targets) > 0


def test_missing_file(data_file):
    data_file.unlink()
    assert "does not exist" in refusal(data_file)


def test_directory(data_file):
    data_file.unlink()
    data_file.mkdir()
    assert "is a folder" in refusal(data_file)


def test_a_pipe_is_refused_at_once(tmp_path):
    path = tmp_path / "d.csv"
    os.mkfifo(path)
    assert "is a pipe" in refusal(path)


def test_a_device_is_refused(tmp_path):
    path = tmp_path / "d.csv"
    path.symlink_to("/dev/zero")
    assert "is a device" in refusal(path)


def test_unknown_ending(tmp_path):
    path = tmp_path / "data.xlsx"
    path.touch()
    assert "format" in refusal(path)


def test_npz_without_the_arrays(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, target=Y)
    assert "no array 'y'; its arrays: 'X', 'target'" in refusal(path)


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "d.npz"
    with path.open("wb") as stream:
        np.save(stream, X)
    assert "no .npz archive" in refusal(path)


def test_npz_with_pickled_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, y=np.array([1, None, 2], dtype=object))
    assert "cannot be read" in refusal(path)


def test_hdf5_group_in_place_of_an_array(tmp_path):
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file["X"] = X
        file.create_group("y")
    assert "no array 'y'" in refusal(path)


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (X, Y[:2]),
        (X, Y[:, None]),
        (Y, Y),
        (X[:0], Y[:0]),
        (X[:, :0], Y),
        (np.float64(1), Y),
        (X.astype(complex), Y),
        (X.astype(str), Y),
    ],
)
def test_wrong_shapes_and_types(tmp_path, features, targets):
    path = tmp_path / "d.npz"
    np.savez(path, X=features, y=targets)
    assert "found (" in refusal(path) or "real numbers" in refusal(path)


def test_integers_become_floats(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, X=np.arange(6, dtype=np.int8).reshape(3, 2), y=[True, False, True])
    found = datasets.read(str(path))
    assert found.features.dtype == found.targets.dtype == np.float64


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(tmp_path, value):
    path = tmp_path / "d.npz"
    features, targets = X.copy(), Y.copy()
    targets[2] = value
    np.savez(path, X=features, y=targets)
    assert f"the target of sample 2 (counted from 0) is {value}" in refusal(path)
    features[1, 1] = features[2, 0] = value
    np.savez(path, X=features, y=targets)
    assert f"feature 1 of sample 1 (counted from 0) is {value}" in refusal(path)


@pytest.mark.parametrize(
    ("text", "features", "targets"),
    [
        ("1,2,3\n4,5,6\n", [[1, 2], [4, 5]], [3, 6]),
        ("a,b,c\n1,2,3\n", [[1, 2]], [3]),
        ("a, y ,c\n1,2,3\n", [[1, 3]], [2]),
        ('\ufeff"a","b"\r\n1e2,-.5\r\n\r\n', [[100]], [-0.5]),
        ("y,a\n\n1,2\n\n3,4", [[2], [4]], [1, 3]),
    ],
)
def test_csv(tmp_path, text, features, targets):
    path = tmp_path / "d.csv"
    path.write_bytes(text.encode())
    found = datasets.read(str(path))
    np.testing.assert_array_equal(found.features, features)
    np.testing.assert_array_equal(found.targets, targets)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 columns"),
        ("1\n2\n", "1 columns"),
        ("1;2\n3;4\n", "line 2, column 1 ('1;2'): expected a finite number, found '3;4'"),
        ("a,b\n", "none of them empty"),
        ("1,2,3\n4,5\n", "line 2: 2 columns where the lines before have 3"),
        ("a,b\n\n1,2\n3,x\n", "line 4, column 2 ('b'): expected a finite number, found 'x'"),
        ("1,2\n3,\n", "line 2, column 2: expected a finite number, found ''"),
        ("1,2\nnan,4\n", "line 2, column 1: expected a finite number, found 'nan'"),
        ("1,2\n3,-inf\n", "line 2, column 2: expected a finite number, found '-inf'"),
        ("a,2\n3,4\n", "line 1, column 1: expected a finite number, found 'a'"),
        ("y,y\n3,4\n", "2 columns are named 'y'"),
    ],
)
def test_csv_that_is_wrong(tmp_path, text, words):
    path = tmp_path / "d.csv"
    path.write_text(text)
    assert words in refusal(path)


def test_csv_in_another_encoding(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes("größe,y\n1,2\n".encode("latin-1"))
    assert "cannot be read as .csv" in refusal(path)


@pytest.mark.parametrize("source", ["diabetes", "d.libsvm"])
def test_without_scikit_learn(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.libsvm").write_text("1 1:2\n")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="scikit-learn") as caught:
        datasets.read(source)
    assert caught.value.hint == "pip install 'lad_mpi[data]'"


def test_diabetes():
    pytest.importorskip("sklearn")
    found = datasets.read("diabetes")
    assert (found.features.shape, found.targets.shape) == ((442, 10), (442,))
    assert found.digest == datasets.digest("diabetes")
    assert found.reading == "bundled with scikit-learn, 442 samples x 10 features"


def test_the_digest_is_the_documented_one(tmp_path):
    write_npz(tmp_path / "d.npz")
    features, targets = X.astype("<f8").tobytes(), Y.astype("<f8").tobytes()
    content = b"<f8 (3, 2)\n" + features + b"<f8 (3,)\n" + targets
    expected = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert datasets.digest(str(tmp_path / "d.npz")) == expected
    assert datasets.read(str(tmp_path / "d.npz")).digest == expected


def test_the_digest_is_of_values_and_not_of_the_file(data_file, tmp_path, monkeypatch):
    write_npz(tmp_path / "other.npz")
    expected = datasets.digest(str(tmp_path / "other.npz"))
    assert datasets.digest(str(data_file)) == expected
    monkeypatch.chdir(tmp_path)
    assert datasets.digest(data_file.name) == expected


def test_the_digest_does_not_depend_on_the_layout_in_memory(tmp_path):
    X = np.random.default_rng(0).normal(size=(10_000, 3))
    for name, array in (("rows", X), ("columns", np.asfortranarray(X))):
        np.savez(tmp_path / f"{name}.npz", X=array, y=X[:, 0])
    assert datasets.digest(str(tmp_path / "rows.npz")) == datasets.digest(
        str(tmp_path / "columns.npz")
    )


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (np.nextafter(X, 9), Y),
        (X[::-1], Y[::-1]),
        (X[:, ::-1], Y),
        (X[:2], Y[:2]),
        (X, -Y),
        (np.concatenate([X, X]), np.concatenate([Y, Y])),
    ],
)
def test_other_samples_have_another_digest(tmp_path, features, targets):
    write_npz(tmp_path / "d.npz")
    before = datasets.digest(str(tmp_path / "d.npz"))
    np.savez(tmp_path / "d.npz", X=features, y=targets)
    assert datasets.digest(str(tmp_path / "d.npz")) != before


@pytest.fixture
def readings(monkeypatch):
    """Count how often files are read."""
    readings = []

    def counting(path, source, *, read=datasets._READERS[".npz"]):
        readings.append(source)
        return read(path, source)

    monkeypatch.setitem(datasets._READERS, ".npz", counting)
    return readings


def test_a_file_is_read_once_for_its_digest_and_its_samples(tmp_path, readings):
    path = tmp_path / "d.npz"
    write_npz(path)
    assert datasets.digest(str(path)) == datasets.digest(str(path))
    samples = datasets.read(str(path))
    assert len(readings) == 1
    assert samples.digest == datasets.digest(str(path))
    assert len(readings) == 1
    # What was handed out is not kept, so that samples are in memory once.
    assert datasets.read(str(path)) is not samples
    assert len(readings) == 2


def test_a_file_that_was_replaced_is_read_again(tmp_path, readings):
    path = tmp_path / "d.npz"
    write_npz(path)
    before = datasets.digest(str(path))
    np.savez(tmp_path / "new.npz", X=X, y=Y + 1)
    (tmp_path / "new.npz").replace(path)
    samples = datasets.read(str(path))
    np.testing.assert_array_equal(samples.targets, Y + 1)
    assert samples.digest == datasets.digest(str(path)) != before


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    write_npz(path)

    def changing(path, source, *, read=datasets._READERS[".npz"]):
        found = read(path, source)
        path.write_bytes(b"something else")
        return found

    monkeypatch.setitem(datasets._READERS, ".npz", changing)
    assert "changed while it was read" in refusal(path)
