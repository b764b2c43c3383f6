"""The benchmarks of plain MPI calls, and a baseline measured by all ranks."""

import dataclasses

import numpy as np
import pytest

from lad_mpi.measure.bare import Bare
from lad_mpi.measure.baseline import measure_baseline
from lad_mpi.measure.bench_collectives import bench_collectives
from lad_mpi.measure.kernels import QUICK
from lad_mpi.transport import Layout, open_link

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(60)]

TINY = dataclasses.replace(
    QUICK, repeats=2, sample_s=1e-5, working_sets_bytes=(2**12,), gemm_size=8, gemv_bytes=(2**10,),
    messages_bytes=(8, 4096), append_bytes=2**13,
)  # fmt: skip


@pytest.fixture
def link(world):
    return open_link()


def test_ping_pong_is_timed_on_rank_0_alone(link):
    times_s = Bare(link.communicator).ping_pong(link.size - 1, 100, 3)
    assert len(times_s) == (3 if link.is_server else 0)
    assert all(time_s > 0 for time_s in times_s)


def test_every_call_is_timed_as_often_on_every_rank(link):
    bare = Bare(link.communicator)
    buffer = np.full(64, link.rank, dtype=np.uint8)
    counts = [0] + [7 * rank for rank in range(1, link.size)]
    calls = [bare.broadcast_call(buffer), bare.gather_call(100), bare.gatherv_call(counts)]
    times = bare.time_together(calls, 4)
    assert times.shape == (3, 4)
    assert (times > 0).all()
    assert (buffer == 0).all()


def test_a_baseline_of_several_ranks_has_messages(link, tmp_path):
    found = measure_baseline(link, tmp_path, TINY, quick=True)
    assert (found is not None) == link.is_server
    if found is None:
        return
    assert found.ranks == link.size
    assert [q.size_bytes for q in found.of("gather")] == [8, 4096]
    assert {q.where for q in found.of("ping_pong")} >= {"rank 0 – rank 1"}
    # A collective takes at least as long as its slowest part.
    together, each = found.of("copy_together")[0], found.of("copy_each")[0]
    pairs = zip(together.samples, each.samples, strict=True)
    assert all(whole >= link.size * part * (1 - 1e-9) for whole, part in pairs)


def test_collectives_are_timed_beside_those_of_mpi(link):
    found = bench_collectives(link, Layout(10, link.size), [3, 50], 2)
    assert len(found) == (2 if link.is_server else 0)
    for times, dimension in zip(found, (3, 50), strict=False):
        assert times.uplink_bytes == 10 * (32 + 8 * dimension)
        assert times.ratio("suite_gather", "bare_gatherv") > 0
        assert {len(timing.times_s) for timing in times.times.values()} == {2}
