"""MPI sends arrays other than NumPy's, and runs have the bits of one process.

The arrays replace those of a GPU, but are in host memory, which every MPI accepts. So these
tests show that the suite packs, sends and receives them correctly. They show nothing about
real GPUs or a GPU-aware MPI; ``lad-mpi doctor`` tests those.
"""

import numpy as np
import pytest
from cuda_on_host import COMPILER, standin_cupy

from lad_mpi.arrays import open_backend
from lad_mpi.compression import NoCompression, TopK
from lad_mpi.spec import parse_spec

pytestmark = [
    pytest.mark.mpi(min_size=2),
    pytest.mark.timeout(100),
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"),
]

SMALL = {
    "iterations": 4,
    "data": {"dimension": 9},
    "devices": {"count": 13, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 4},
    "logging": {"flush_every": 3},
}
VARIANTS = {
    "plain": {},
    "nnm": {"aggregation": {"pre": ["nnm"]}},
    "float32": {"backend": {"dtype": "float32"}},
    "rand_k": {"compression": {"kind": "rand_k", "k": 4}},
    "qsgd": {"compression": {"kind": "qsgd", "levels": 5}},
    "top_k with feedback": {"compression": {"kind": "top_k", "k": 2, "error_feedback": True}},
    "sign": {"compression": {"kind": "sign"}},
    "cast": {"compression": {"kind": "cast"}},
    "natural": {"compression": {"kind": "natural"}},
    "alie": {"attack": {"kind": "alie"}},
    "mutate": {"attack": {"kind": "mutate"}},
    "draco": {"coding": {"kind": "draco_cyclic_real"}},
}


@pytest.fixture(scope="module", autouse=True)
def _cupy():
    with standin_cupy():
        yield


def on_gpu(variant, transfers):
    backend = {**variant.get("backend", {}), "kind": "cupy", "gpu_transfers": transfers}
    return parse_spec({**SMALL, **variant, "backend": backend})


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint32", "int64"])
def test_mpi_takes_and_fills_arrays(world, dtype):
    backend, size, rank = open_backend("cupy", "float64"), world.size, world.rank
    xp = backend.xp
    sent, received = xp.full(1001, rank + 1, dtype=dtype), xp.zeros(1001, dtype=dtype)
    backend.synchronize()
    world.Sendrecv(sent, dest=(rank + 1) % size, recvbuf=received, source=(rank - 1) % size)
    assert bool((received == (rank - 1) % size + 1).all())
    gathered = xp.zeros((size, 1001), dtype=dtype)
    backend.synchronize()
    world.Gather(sent, gathered if rank == 0 else None)
    expected = np.arange(1, size + 1)[:, None] * np.ones(1001) if rank == 0 else 0
    np.testing.assert_array_equal(gathered.get(), expected)
    model = gathered[1]
    backend.synchronize()
    world.Bcast(model)
    assert bool((gathered[1] == 2).all())


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_results_depend_neither_on_ranks_nor_on_how_messages_reach_mpi(same_bits, variant):
    for one, other in (("direct", "staged"), ("staged", "direct")):
        logs = same_bits(on_gpu(variant, one), alone=on_gpu(variant, other))
        if logs is not None:
            ranks, alone = logs
            # This changes the identity of the run, but not its numbers.
            assert ranks.identity != alone.identity
            assert ranks.provenance["gpu_transfers"] == one
            assert "stand-in (host memory)" in str(ranks.provenance["devices"])


@pytest.mark.parametrize("variant", ["plain", "float32", "alie", "mutate", "top_k with feedback"])
def test_a_codec_of_the_host_gives_the_same_bits(same_bits, variant, take_off_gpu):
    codec = TopK if "top_k" in variant else NoCompression
    on_the_gpu = same_bits(on_gpu(VARIANTS[variant], "staged"))
    take_off_gpu(codec)
    on_the_host = same_bits(on_gpu(VARIANTS[variant], "staged"))
    if on_the_gpu is not None and on_the_host is not None:
        np.testing.assert_array_equal(on_the_gpu[0].final.model, on_the_host[0].final.model)
