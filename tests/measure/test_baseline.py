"""A whole baseline in one process."""

import dataclasses

import pytest

from lad_mpi.errors import UsageError
from lad_mpi.measure.baseline import measure_baseline, ping_partners
from lad_mpi.measure.kernels import QUICK
from lad_mpi.transport import Loopback

TINY = dataclasses.replace(
    QUICK, repeats=2, sample_s=1e-5, working_sets_bytes=(2**12,), gemm_size=8, gemv_bytes=(2**10,),
    append_bytes=2**13,
)  # fmt: skip


def test_one_process_measures_all_but_messages(tmp_path):
    found = measure_baseline(Loopback(), tmp_path, TINY, quick=True)
    names = {quantity.name for quantity in found.quantities}
    kinds = {f"{k}_{n}" for k in ("copy", "triad", "gemm", "gemv") for n in ("alone", "each")}
    assert {*kinds, "copy_together", "hdf5_append"} <= names
    assert not {"ping_pong", "bcast", "gather"} & names
    keys = [quantity.key for quantity in found.quantities]
    assert len(set(keys)) == len(keys)
    assert (found.ranks, found.quick) == (1, True)
    assert found.machine["cpu_model"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot write in"):
        measure_baseline(Loopback(), tmp_path / "none", TINY, quick=True)


@pytest.mark.parametrize("size", [2, 3, 17, 1000])
@pytest.mark.parametrize("most", [1, 2, 16])
def test_partners_are_a_spread_sample(size, most):
    found = ping_partners(size, most)
    assert len(found) == min(most, size - 1)
    assert found == sorted(set(found))
    assert found[0] == 1
    assert most == 1 or found[-1] == size - 1
