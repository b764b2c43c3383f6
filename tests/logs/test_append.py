"""Timing of appends to an HDF5 file."""

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.logs.append import time_appends


def test_as_many_times_as_blocks_and_nothing_left(tmp_path):
    times_s = time_appends(tmp_path, 2**14, 3)
    assert len(times_s) == 3
    assert min(times_s) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot write in .*none"):
        time_appends(tmp_path / "none", 2**14, 1)
