"""What begins before all columns are there ends with the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    GramSpaceMixing,
    GramSpaceRule,
    Krum,
    NearestNeighbourMixing,
    Pipeline,
    TrimmedMean,
)
from lad_mpi.aggregation.columns import column_slices, column_tasks
from lad_mpi.aggregation.gram import measure
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats

COORDINATE_WISE = {"mean", "trimmed_mean", "median", "meamed"}
IN_GRAM_SPACE = {"krum", "multi_krum", "geometric_median", "mda", "caf", "smea"}
N, F, Q = 21, 2, 50_003


def make(kind: str) -> Any:
    return {**RULES, **PRE_AGGREGATIONS}[kind](num_byzantine=F)


def messages_of(kind: str, dtype: Any, dimension: int = Q) -> HostFloats:
    messages = np.random.default_rng(3).normal(size=(N, dimension)).astype(dtype)
    largest = np.finfo(dtype).max
    if kind == "far mean":
        messages += 1e4
    if kind == "the first columns mislead":
        # Zero is near there, and far on the whole.
        messages *= 0.01
        messages[:, 25_000:] += 50.0
    if kind == "absurd rows":
        messages[4], messages[7, -1] = largest / 2, -largest
    if kind == "tiny":
        messages *= np.finfo(dtype).tiny
    if kind == "equal":
        messages[:] = messages[0]
    return messages


def arrive(pipeline: Pipeline, messages: HostFloats, cuts: list[int]) -> tuple[bool, Any]:
    """Aggregate messages of which no more can be seen than what has arrived."""
    buffer = np.full_like(messages, np.nan)
    begun = pipeline.begin(buffer)
    calls = []
    for start, stop in zip([0, *cuts], [*cuts, messages.shape[1]], strict=True):
        buffer[:, start:stop] = messages[:, start:stop]
        if begun is not None:
            begun.extend(stop, lambda: calls.append(0))
    step = pipeline.step(buffer, streams=Streams(1), iteration=4, state=None, begun=begun)
    assert begun is None or calls
    # What a rule reports does not depend on how columns arrive either.
    whole = pipeline.step(messages, streams=Streams(1), iteration=4, state=None)
    assert step.reported == whole.reported
    assert len(step.reported) == len(pipeline.metrics)
    return begun is not None, step.estimate


CUTS = {
    "whole": [],
    "halves": [Q // 2],
    "columns": [1, 2, 12_001, 40_000, Q - 1],
    "many": list(range(999, Q, 999)),
}
PIPELINES = {
    **{kind: Pipeline((), make(kind)) for kind in RULES},
    "nnm + trimmed_mean": Pipeline((make("nnm"),), make("trimmed_mean")),
    "nnm + krum": Pipeline((make("nnm"),), make("krum")),
    "nnm + centered_clipping": Pipeline((make("nnm"),), make("centered_clipping")),
    "nnm + nnm + median": Pipeline((make("nnm"), make("nnm")), make("median")),
    "nnm + bucketing + nnm + mean": Pipeline(
        (make("nnm"), make("bucketing"), make("nnm")), make("mean")
    ),
    "clip + median": Pipeline((make("clip"),), make("median")),
    "bucketing + krum": Pipeline((make("bucketing"),), make("krum")),
}


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PIPELINES)
def test_bits_do_not_depend_on_how_columns_arrive(
    name: str, dtype: Any, cuts: list[int], threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    messages, pipeline = messages_of("", dtype), PIPELINES[name]
    expected, *_ = pipeline.step(messages, streams=Streams(1), iteration=4, state=None)
    began, estimate = arrive(pipeline, messages, cuts)
    first = name.partition(" + ")[0]
    assert began == (first in COORDINATE_WISE | IN_GRAM_SPACE | {"nnm"})
    assert np.array_equal(estimate, expected)
    assert estimate.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["trimmed_mean", "krum", "geometric_median", "nnm + trimmed_mean"])
@pytest.mark.parametrize(
    "kind", ["far mean", "the first columns mislead", "absurd rows", "tiny", "equal"]
)
def test_nor_do_they_where_care_is_needed(kind: str, name: str, dtype: Any) -> None:
    messages, pipeline = messages_of(kind, dtype), PIPELINES[name]
    expected, *_ = pipeline.step(messages, streams=Streams(1), iteration=4, state=None)
    began, estimate = arrive(pipeline, messages, CUTS["columns"])
    assert began
    assert np.array_equal(estimate, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_another_row_is_subtracted_where_the_first_columns_mislead(dtype: Any) -> None:
    misleading = messages_of("the first columns mislead", dtype)
    assert measure(0.01 * messages_of("", dtype)).centre is None
    assert measure(misleading).centre is not None


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("dimension", [1, 2, 1000])
def test_few_columns_are_waited_for(name: str, dimension: int) -> None:
    messages, pipeline = messages_of("", np.float64, dimension), PIPELINES[name]
    began, estimate = arrive(pipeline, messages, [])
    expected, *_ = pipeline.step(messages, streams=Streams(1), iteration=4, state=None)
    assert not began
    assert np.array_equal(estimate, expected)


def test_faults_that_are_no_minority_are_left_to_the_step_to_refuse() -> None:
    messages = np.zeros((4, 300_000))
    assert Pipeline((), TrimmedMean(2)).begin(messages) is None
    assert Pipeline((), Krum(2)).begin(messages) is None
    assert Pipeline((NearestNeighbourMixing(2),), TrimmedMean(0)).begin(messages) is None


@pytest.mark.parametrize("kind", sorted(RULES))
def test_a_rule_in_gram_space_is_a_function_of_the_geometry(kind: str) -> None:
    rule, messages = make(kind), messages_of("", np.float64, 300)
    assert isinstance(rule, GramSpaceRule) == (kind in IN_GRAM_SPACE)
    if kind in IN_GRAM_SPACE:
        assert np.array_equal(rule.from_geometry(measure(messages)), rule(messages))


@pytest.mark.parametrize("kind", sorted(PRE_AGGREGATIONS))
def test_mixing_in_gram_space_is_a_function_of_the_geometry(kind: str) -> None:
    stage, messages = make(kind), messages_of("", np.float64, 300)
    assert isinstance(stage, GramSpaceMixing) == (kind == "nnm")
    if kind == "nnm":
        mixture = stage.mixture_from_geometry(measure(messages))
        assert np.array_equal(mixture.whole(), stage(messages))


def test_a_subclass_that_changes_the_call_is_called() -> None:
    @dataclass(frozen=True)
    class Negative(Krum):
        def __call__(self, messages: Any) -> Any:
            return -super().__call__(messages)

    @dataclass(frozen=True)
    class Doubled(NearestNeighbourMixing):
        def __call__(self, messages: Any) -> Any:
            return 2.0 * messages

    messages = messages_of("", np.float64)
    assert Pipeline((), Negative(F)).begin(messages) is None
    assert Pipeline((Doubled(F),), TrimmedMean(F)).begin(messages) is None


@pytest.mark.parametrize("most", [1, 2, 7, 8, 100])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 1), "f8"), ((100, 30_000), "f8"), ((100, 30_001), "f4")]
)
def test_slices_are_whole_tasks(shape: tuple[int, int], dtype: str, most: int) -> None:
    slices = column_slices(*shape, np.dtype(dtype).itemsize, most)
    tasks = column_tasks(np.zeros(shape, dtype=dtype))
    assert len(slices) == min(most, len(tasks))
    edges = [columns.start for columns in slices] + [slices[-1].stop]
    assert edges == sorted(set(edges))
    assert {*edges} <= {0, *(columns.stop for columns in tasks)}
    assert edges[-1] == shape[1]
