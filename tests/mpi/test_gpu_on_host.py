"""GPU code under MPI, on the stand-in for CuPy: MPI is handed what lies in host memory."""

import numpy as np
import pytest

from lad_mpi.logs import read_log
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback, open_link

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(100)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint32", "int64"])
def test_mpi_takes_and_fills_arrays(world, standin_gpu, dtype):
    xp, size, rank = standin_gpu.xp, world.size, world.rank
    sent, received = xp.full(1001, rank + 1, dtype=dtype), xp.zeros(1001, dtype=dtype)
    world.Sendrecv(sent, dest=(rank + 1) % size, recvbuf=received, source=(rank - 1) % size)
    assert bool((received == (rank - 1) % size + 1).all())
    gathered = xp.zeros((size, 1001), dtype=dtype)
    world.Gather(sent, gathered if rank == 0 else None)
    expected = np.arange(1, size + 1)[:, None] * np.ones(1001) if rank == 0 else 0
    np.testing.assert_array_equal(gathered.get(), expected)
    world.Bcast(gathered[1])
    assert bool((gathered[1] == 2).all())


@pytest.mark.parametrize(
    "changes",
    [{}, {"compression": {"kind": "qsgd", "levels": 5}}, {"aggregation": {"pre": ["nnm"]}}],
    ids=["plain", "qsgd", "nnm"],
)
def test_a_whole_run_is_the_same_on_these_ranks(world, tmp_path_factory, standin_gpu, changes):
    small = {
        "iterations": 5,
        "problem": {"dimension": 9},
        "devices": {"count": 13, "byzantine": 3},
        "coding": {"kind": "cyclic", "load": 4},
        "backend": {"kind": "cupy"},
    }
    spec, folder, link = (
        parse_spec({**small, **changes}),
        tmp_path_factory.mktemp("gpu"),
        open_link(),
    )
    assert run_spec(spec, link, folder / "ranks.h5").status == "complete"
    if not link.is_server:
        return
    run_spec(spec, Loopback(), folder / "alone.h5")
    ranks, alone = read_log(folder / "ranks.h5"), read_log(folder / "alone.h5")
    np.testing.assert_array_equal(ranks.final.model, alone.final.model)
    assert "stand-in (host memory)" in str(ranks.provenance["devices"])
