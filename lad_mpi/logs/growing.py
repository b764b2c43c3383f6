"""Datasets that gain rows, at the cost of HDF5's own calls."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


class GrowingDataset:
    """A dataset whose first axis grows.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked and without a limit along the first axis.

    Attributes
    ----------
    name : str
        Its path in the file.
    row_shape : tuple of int
        Shape of a row.

    Notes
    -----
    The slices of ``h5py.Dataset`` find out at every call what cannot change here;
    that is three quarters of the time of a flush.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.name: str = dataset.name
        self.row_shape: tuple[int, ...] = dataset.shape[1:]
        self._id = dataset.id
        self._dtype = dataset.dtype
        self._origin = (0,) * len(self.row_shape)

    def put(self, first: int, rows: Any) -> None:
        """Write rows, and let the dataset end with them.

        Parameters
        ----------
        first : int
            Number of the first of them.
        rows : array_like, shape (n, …)
            Of at most ``row_shape``; of what they leave out the fill value stays.
        """
        rows = np.ascontiguousarray(rows, dtype=self._dtype)
        self._id.set_extent((first + len(rows), *self.row_shape))
        if not len(rows):
            return
        place = self._id.get_space()
        place.select_hyperslab((first, *self._origin), rows.shape)
        self._id.write(h5py.h5s.create_simple(rows.shape), place, rows)
