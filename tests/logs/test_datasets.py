"""Rows that are put, against the slices of h5py."""

import h5py
import numpy as np
import pytest

from lad_mpi.logs.datasets import GrowingDataset


@pytest.fixture
def make(tmp_path):
    """Make datasets in a file in SWMR mode, as logs are while they grow."""
    with h5py.File(tmp_path / "rows.h5", "w", libver="latest") as file:

        def make(row_shape, dtype):
            dataset = file.create_dataset(
                "rows",
                (0, *row_shape),
                maxshape=(None, *row_shape),
                chunks=(4, *row_shape),
                dtype=dtype,
                fillvalue=-1,
            )
            file.swmr_mode = True
            return dataset, GrowingDataset(dataset)

        yield make


@pytest.mark.parametrize("row_shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", ["f8", "i8"])
def test_rows_are_what_was_put(make, row_shape, dtype):
    dataset, growing = make(row_shape, dtype)
    assert (growing.name, growing.row_shape) == ("/rows", row_shape)
    values = np.arange(np.prod((11, *row_shape), dtype=int)).reshape(11, *row_shape).astype(dtype)
    for first, last in ((0, 5), (5, 6), (6, 6), (6, 11)):
        growing.put(first, values[first:last])
        np.testing.assert_array_equal(dataset[:], values[:last])


def test_rows_may_be_narrow_strided_and_of_another_type(make):
    dataset, growing = make((2, 3), "f8")
    wide = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    growing.put(0, wide.transpose(1, 2, 0)[:, :2, :2])
    np.testing.assert_array_equal(dataset[:, :2, :2], wide.transpose(1, 2, 0)[:, :2, :2])
    assert (dataset[:, :, 2] == -1).all()
    growing.put(2, [])
    assert len(dataset) == 2


def test_rows_that_are_too_wide_are_refused(make):
    _, growing = make((3,), "f8")
    with pytest.raises((OSError, ValueError)):
        growing.put(0, np.zeros((2, 4)))
