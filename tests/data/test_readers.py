import gzip
import os
import pickle
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lad_mpi.data import readers
from lad_mpi.data.columns import TableKeys
from lad_mpi.data.readers import read_samples
from lad_mpi.errors import DataError

NO_KEYS = TableKeys()
X = np.array([[1.0, 0.5], [0.0, -2.0], [3.0, 4.25]])
Y = np.array([1.0, -1.5, 2.0])


def write_npz(path):
    """Write to a path or an open file, as h5py and NumPy can."""
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
    ".tsv": write_csv,
    ".libsvm": write_libsvm,
    ".svm": write_libsvm,
    ".txt": write_csv,
}


@pytest.fixture(params=WRITERS)
def data_file(request, tmp_path):
    if WRITERS[request.param] is write_libsvm:
        pytest.importorskip("sklearn")
    path = tmp_path / f"data{request.param}"
    WRITERS[request.param](path)
    return path


def test_every_format_reads_the_same(data_file):
    found = read_samples(str(data_file))
    np.testing.assert_array_equal(found.features, X)
    np.testing.assert_array_equal(found.targets, Y)
    assert found.features.dtype == found.targets.dtype == np.float64


def test_the_ending_may_be_in_capitals(data_file):
    path = data_file.rename(data_file.with_suffix(data_file.suffix.upper()))
    np.testing.assert_array_equal(read_samples(str(path)).features, X)


def refusal(path, keys=NO_KEYS):
    with pytest.raises(DataError) as caught:
        read_samples(str(path), keys)
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
        found = read_samples(str(data_file))
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


def test_npz_without_the_arrays(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, target=Y)
    assert "no array 'y'; its arrays: 'X', 'target'" in refusal(path)


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "d.npz"
    with path.open("wb") as stream:
        np.save(stream, X)
    assert "not an .npz archive" in refusal(path)


def test_npz_with_pickled_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, X=X, y=np.array([1, None, 2], dtype=object))
    assert "Object arrays" in refusal(path)
    with pytest.raises(DataError) as caught:
        read_samples(str(path))
    assert "never unpickled" in caught.value.hint


def test_a_pickle_is_not_unpickled(tmp_path):
    path = tmp_path / "d.npz"
    trap = tmp_path / "trap"

    class Opens:
        def __reduce__(self):
            return trap.touch, ()

    path.write_bytes(pickle.dumps(Opens()))
    assert "not an .npz archive" in refusal(path)
    np.savez(path, X=np.array([Opens()]), y=Y)
    assert "Object arrays" in refusal(path)
    assert not trap.exists()


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
    found = read_samples(str(path))
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


@pytest.mark.parametrize(("writer", "form"), [(write_npz, "NPZ"), (write_hdf5, "HDF5")])
def test_what_a_file_contains_counts_more_than_its_name(tmp_path, writer, form):
    path = tmp_path / "d.csv"
    with path.open("w+b") as stream:
        writer(stream)
    found = read_samples(str(path))
    np.testing.assert_array_equal(found.features, X)
    assert found.reading == f"{form}, 3 samples x 2 features"


@pytest.mark.parametrize("name", ["d.txt", "d.csv"])
def test_texts_are_told_apart_by_their_content(tmp_path, name):
    pytest.importorskip("sklearn")
    for writer, form in ((write_csv, "CSV"), (write_libsvm, "LIBSVM text")):
        writer(tmp_path / name)
        found = read_samples(str(tmp_path / name))
        np.testing.assert_array_equal(found.features, X)
        assert found.reading.startswith(f"{form}, 3 samples x 2 features")


@pytest.mark.parametrize("name", ["d.h5", "d.npz"])
def test_a_table_that_is_named_as_something_else_is_refused(tmp_path, name):
    path = tmp_path / name
    write_csv(path)
    assert "HDF5" in refusal(path) or "not an .npz archive" in refusal(path)


@pytest.mark.parametrize("ending", [".csv", ".txt", ".libsvm"])
@pytest.mark.parametrize("name", ["d{}.gz", "d{}"])
def test_gzip_is_known_by_content(tmp_path, ending, name):
    if ending == ".libsvm":
        pytest.importorskip("sklearn")
    WRITERS[ending](tmp_path / "plain")
    path = tmp_path / name.format(ending)
    path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    found = read_samples(str(path))
    np.testing.assert_array_equal(found.features, X)
    assert found.reading.endswith(", gzip")


def test_a_name_that_ends_in_gz_need_not_mean_gzip(tmp_path):
    write_csv(tmp_path / "d.csv")
    path = (tmp_path / "d.csv").rename(tmp_path / "d.csv.gz")
    assert "gzip" not in read_samples(str(path)).reading


@pytest.mark.parametrize("writer", [write_npz, write_hdf5, write_libsvm])
@pytest.mark.parametrize("keys", [{"target": 1}, {"header": False}, {"index": False}])
def test_keys_of_tables_are_refused_for_other_formats(tmp_path, writer, keys):
    pytest.importorskip("sklearn")
    path = tmp_path / f"d.{writer.__name__.removeprefix('write_').replace('hdf5', 'h5')}"
    writer(path)
    assert "are for tables" in refusal(path, TableKeys(**keys))


def test_libsvm_text_without_scikit_learn(tmp_path, monkeypatch):
    (tmp_path / "d.libsvm").write_text("1 1:2\n")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="scikit-learn") as caught:
        read_samples(str(tmp_path / "d.libsvm"))
    assert caught.value.hint == "pip install 'lad_mpi[data]'"


def test_a_working_directory_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(DataError, match="does not exist") as caught:
        read_samples("d.csv")
    assert "no longer exists" in caught.value.hint


def test_the_digest_is_of_values_and_not_of_the_file(data_file, tmp_path, monkeypatch):
    write_npz(tmp_path / "other.npz")
    expected = read_samples(str(tmp_path / "other.npz")).digest
    assert read_samples(str(data_file)).digest == expected
    monkeypatch.chdir(tmp_path)
    assert read_samples(data_file.name).digest == expected


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    write_npz(path)
    read = readers.read_npz

    def changing(plain, *arguments):
        found = read(plain, *arguments)
        path.write_bytes(b"something else")
        return found

    monkeypatch.setattr(readers, "read_npz", changing)
    assert "changed while it was read" in refusal(path)
