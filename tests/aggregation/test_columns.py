"""Ranges of columns, and the threads that work on them."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    NearestNeighbourMixing,
    Pipeline,
    TrimmedMean,
)
from lad_mpi.aggregation import columns as columns_module
from lad_mpi.aggregation.columns import (
    column_blocks,
    num_threads,
    over_columns,
    serial_linear_algebra,
    shared,
)


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
    # A task begins where a block does, so that products are cut alike whoever cuts them.
    cut = [block for task in tasks for block in column_blocks(messages, task)]
    assert cut == list(column_blocks(messages))


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
    monkeypatch.setattr(columns_module, "_SHARED_FROM_BYTES", 0)
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
