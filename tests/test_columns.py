"""Ranges of columns, and the threads that work on them."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lad_mpi import columns as columns_module
from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    NearestNeighbourMixing,
    Pipeline,
    TrimmedMean,
)
from lad_mpi.columns import (
    SHARED_FROM_COLUMNS,
    agreed,
    column_blocks,
    from_first,
    num_threads,
    over_columns,
    sections,
    serial_linear_algebra,
    server_ranges,
    shared,
    total,
)
from lad_mpi.conformance.servers import on_servers


def threads_of_linear_algebra() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (100, 2056), (100, 30_000), (2048, 5000)])
def test_blocks_and_tasks_cover_every_column_once(shape: tuple[int, int], dtype: Any) -> None:
    messages = np.zeros(shape, dtype=dtype)
    tasks = list(over_columns(messages, lambda columns: columns))
    assert tasks[0].start == 0
    assert tasks[-1].stop == shape[1]
    assert all(a.stop == b.start for a, b in itertools.pairwise(tasks))
    assert tasks == list(sections(shape[1]))
    blocks = [block for task in tasks for block in column_blocks(messages, task)]
    assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))
    assert blocks[-1].stop == shape[1]


def test_a_worker_uses_no_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    messages = np.zeros((100, 30_000))
    assert set(over_columns(messages, lambda _: num_threads())) == {1}
    assert num_threads() == 3


def test_what_fails_in_a_worker_fails_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def fail(columns: slice) -> None:
        raise RuntimeError(str(columns.start))

    before = threads_of_linear_algebra()
    with pytest.raises(RuntimeError, match="0"):
        list(over_columns(np.zeros((100, 30_000)), fail))
    assert threads_of_linear_algebra() == before


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_shared_tasks_are_done_once_and_answer_in_order(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done: list[int] = []

    def square(task: int) -> int:
        done.append(task)
        assert num_threads() == 1
        return task**2

    assert list(shared(square, range(40))) == [task**2 for task in range(40)]
    assert sorted(done) == list(range(40))
    assert num_threads() == int(threads)
    assert list(shared(square, [])) == []


@pytest.mark.parametrize("threads", ["1", "3"])
def test_no_task_is_begun_once_the_caller_wants_no_more(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And results are not kept: n × n matrices of many tasks would fill the memory."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done: list[int] = []

    def slow(task: int) -> int:
        time.sleep(0.001)
        done.append(task)
        return task

    results = shared(slow, range(10_000))
    assert next(results) == 0
    results.close()
    begun = len(done)
    assert begun < 10_000
    time.sleep(0.01)
    assert len(done) == begun


def test_threads_are_started_only_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    shares = []
    monkeypatch.setattr(columns_module, "shared", lambda *_: shares.append(1) or [])
    large, medium = np.zeros((100, 40_000)), np.zeros((100, 6_000))
    list(over_columns(medium, lambda _: None))
    assert not shares
    list(over_columns(medium, lambda _: None, num_products=100))
    list(over_columns(large, lambda _: None))
    assert len(shares) == 2


def test_linear_algebra_gets_its_threads_back_in_any_order() -> None:
    before = threads_of_linear_algebra()
    messages = np.zeros((100, 30_000))
    first, second = serial_linear_algebra(messages), serial_linear_algebra(messages)
    first.__enter__()
    second.__enter__()
    assert threads_of_linear_algebra() == {1}
    first.__exit__(None, None, None)
    assert threads_of_linear_algebra() == {1}
    second.__exit__(None, None, None)
    assert threads_of_linear_algebra() == before


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(13, 77_777), (300, 3400), (64, 16_000)])
def test_threads_do_not_change_a_bit(
    shape: tuple[int, int], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns_module, "SHARED_FROM_BYTES", 0)
    messages = np.random.default_rng(0).normal(1.0, 1.0, size=shape).astype(dtype)
    mixing = NearestNeighbourMixing(shape[0] // 5)
    pipeline = Pipeline((mixing,), TrimmedMean(shape[0] // 5))
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append((mixing(messages), pipeline(messages)))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("kind", sorted({**RULES, **PRE_AGGREGATIONS}.keys() - {"mda", "smea"}))
@pytest.mark.parametrize("shape", [(100, 100), (33, 5001), (100, 1000), (200, 100)])
def test_threads_of_linear_algebra_do_not_change_a_bit(shape: tuple[int, int], kind: str) -> None:
    """Libraries divide a product by their threads, also where a matrix is small."""
    messages = np.random.default_rng(1).normal(1.0, 1.0, size=shape)
    component = {**RULES, **PRE_AGGREGATIONS}[kind](shape[0] // 5)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            results.append(component(messages))
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("unit", [1, 4096, 3 * 2048])
@pytest.mark.parametrize("servers", [1, 2, 3, 32])
@pytest.mark.parametrize("count", [5, SHARED_FROM_COLUMNS, 61_706, 10**6, 3 * 10**9])
def test_servers_get_adjacent_ranges_of_whole_sections(count: int, servers: int, unit: int) -> None:
    ranges = server_ranges(count, servers, unit)
    assert len(ranges) == servers
    assert ranges[0].start == 0
    assert ranges[-1].stop == count
    assert all(a.stop == b.start for a, b in itertools.pairwise(ranges))
    starts = {part.start for part in sections(count)} | {count}
    assert all(part.start in starts and part.start % unit in {0, count % unit} for part in ranges)
    sizes = [part.stop - part.start for part in ranges]
    assert sizes == sorted(sizes, key=lambda size: size == 0)
    if count >= 10**6 and unit == 1:
        assert max(sizes) <= 1.5 * count / min(servers, 20)


@pytest.mark.parametrize("servers", [2, 3, 7])
def test_sums_have_the_same_bits_on_any_number_of_servers(servers: int) -> None:
    messages = np.random.default_rng(3).normal(size=(5, 123_457))

    def sums(columns: slice) -> Any:
        own = messages[:, columns]
        return total(over_columns(own, lambda part: own[:, part].sum(axis=1)))

    alone = sums(slice(None))
    np.testing.assert_allclose(alone, messages.sum(axis=1), rtol=1e-9)
    for found in on_servers(messages.shape[1], servers, sums):
        assert np.array_equal(found, alone)


def test_servers_agree_on_what_each_found() -> None:
    def find(columns: slice) -> tuple[float, float]:
        largest = agreed(np.array([float(columns.start)]))[0]
        first = from_first(lambda: np.array(columns.stop, dtype=float))
        return float(largest), float(first)

    ranges = server_ranges(10**5, 3)
    expected = (float(ranges[2].start), float(ranges[0].stop))
    assert on_servers(10**5, 3, find) == [expected] * 3
