"""Laws that every aggregation rule and pre-aggregation must keep."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import math
import pickle
import pkgutil
import sys
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lad_mpi.aggregation
from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    Bucketing,
    CenteredClipping,
    Clip,
    GeometricMedian,
    Krum,
    Mean,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    Pipeline,
    PreAggregation,
    RandomisedPreAggregation,
    Rule,
    SmallestMaximumEigenvalueAveraging,
    StatefulRule,
    TrimmedMean,
    finite_rows,
)
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

COMPONENTS: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}
#: Neither follows its messages wherever they go: a threshold is a length.
OF_FIXED_LENGTH = {"centered_clipping", "clip"}
#: Rows change places, and so no row of the result belongs to a row of the messages.
SHUFFLED = {"bucketing"}
ROBUST = sorted(set(COMPONENTS) - {"mean", "bucketing", *OF_FIXED_LENGTH})
MODULES = [
    importlib.import_module(f"lad_mpi.aggregation.{module.name}")
    for module in pkgutil.iter_modules(lad_mpi.aggregation.__path__)
]


def make(kind: str, num_byzantine: int = 0, *, trusted: int = 0) -> Any:
    """A component with its defaults, where it trusts anyone a row that may be trusted."""
    if kind == "monna":
        return MoNNA(num_byzantine=num_byzantine, reference=trusted)
    return COMPONENTS[kind](num_byzantine=num_byzantine)


def honest_output(component: Any, messages: np.ndarray, num_hostile: int) -> np.ndarray:
    """What a component makes of the messages, without the rows that are hostile themselves."""
    result = component(messages)
    return result[: len(messages) - num_hostile] if result.ndim == 2 else result


def has_one_tightest_subset(messages: np.ndarray, num_byzantine: int) -> bool:
    """Two subsets of least diameter share their two farthest rows and may differ in others."""
    size = len(messages) - num_byzantine
    diameters = sorted(
        max((math.dist(a, b) for a, b in combinations(subset, 2)), default=0.0)
        for subset in combinations(messages, size)
    )
    return len(diameters) == 1 or diameters[0] < diameters[1]


@pytest.fixture(params=sorted(COMPONENTS))
def component_class(request: pytest.FixtureRequest) -> Any:
    return COMPONENTS[request.param]


def test_tables_are_complete() -> None:
    """Every class with a kind in the package stands in a table, under that kind."""
    found = {
        value.kind: value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and hasattr(value, "kind")
        and value is not Pipeline
    }
    assert found == COMPONENTS
    assert all(cls.kind == name for name, cls in COMPONENTS.items())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_docstring_examples(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    defines_component = any(
        getattr(value, "__module__", "") == module.__name__ and hasattr(value, "kind")
        for value in vars(module).values()
        if dataclasses.is_dataclass(value)
    )
    assert result.attempted > 0 or not defines_component


class TestContract:
    def test_is_a_frozen_component(self, component_class: Any) -> None:
        component = component_class(num_byzantine=3)
        protocol = Rule if component_class in RULES.values() else PreAggregation
        assert isinstance(component, protocol)
        assert dataclasses.fields(component_class)[0].name == "num_byzantine"
        assert component_class().num_byzantine == 0
        assert component == component_class(num_byzantine=3)
        assert hash(component) == hash(component_class(num_byzantine=3))
        with pytest.raises(dataclasses.FrozenInstanceError):
            component.num_byzantine = 0
        with pytest.raises((AttributeError, TypeError)):
            component.num_byzantime = 0

    def test_field_types_resolve_at_run_time(self, component_class: Any) -> None:
        module = vars(sys.modules[component_class.__module__])
        for field in dataclasses.fields(component_class):
            assert eval(str(field.type), module) is not None
        assert "__call__" in vars(component_class)

    def test_refuses_a_negative_number_of_faults(self, component_class: Any) -> None:
        with pytest.raises(ParameterError, match="num_byzantine"):
            component_class(num_byzantine=-1)

    @pytest.mark.parametrize(("num_messages", "num_byzantine"), [(2, 1), (4, 2), (5, 3), (1, 1)])
    def test_refuses_faults_that_are_no_minority(
        self, component_class: Any, num_messages: int, num_byzantine: int
    ) -> None:
        with pytest.raises(ParameterError, match="no minority"):
            component_class(num_byzantine=num_byzantine)(np.ones((num_messages, 2)))

    @pytest.mark.parametrize(
        "messages",
        [np.ones(3), np.ones((0, 3)), np.ones((3, 0)), np.ones((3, 3), dtype=np.int64)],
        ids=["vector", "no rows", "no columns", "integers"],
    )
    def test_refuses_what_is_no_matrix_of_floats(
        self, component_class: Any, messages: np.ndarray
    ) -> None:
        with pytest.raises(ValueError, match="messages"):
            component_class()(messages)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (3, 1), (7, 5), (4, 300_000)])
    def test_keeps_dtype_and_input(self, component_class: Any, shape: Any, dtype: Any) -> None:
        messages = np.random.default_rng(0).normal(size=shape).astype(dtype)
        copy = messages.copy()
        messages.flags.writeable = False
        faults = 0 if component_class is Bucketing else (shape[0] - 1) // 2
        component = component_class(num_byzantine=faults)
        result = component(messages)
        assert result.dtype == dtype
        if component_class is Bucketing:
            assert result.shape == ((shape[0] + 1) // 2, shape[1])
        else:
            is_rule = component_class in RULES.values()
            assert result.shape == (shape[1:] if is_rule else shape)
        assert np.array_equal(messages, copy)
        assert not np.shares_memory(result, messages)
        assert np.array_equal(result, component(messages))

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_memory_layout_does_not_matter(self, component_class: Any, dtype: Any) -> None:
        messages = np.random.default_rng(1).normal(size=(9, 6)).astype(dtype)
        component = component_class(num_byzantine=2)
        strided = np.repeat(messages, 2, axis=1)[:, ::2]
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        for same in (np.asfortranarray(messages), strided):
            np.testing.assert_allclose(
                component(same), component(messages), rtol=tolerance, atol=tolerance
            )


class TestLaws:
    @settings(max_examples=15, deadline=None)
    @given(
        seed=st.integers(0, 2**32),
        num_messages=st.integers(1, 12),
        exponent=st.integers(-300, 300),
        data=st.data(),
    )
    @pytest.mark.parametrize("kind", sorted(set(COMPONENTS) - OF_FIXED_LENGTH))
    def test_scaling_commutes(
        self, kind: str, seed: int, num_messages: int, exponent: int, data: st.DataObject
    ) -> None:
        most = (num_messages - 1) // (4 if kind in SHUFFLED else 2)
        component = make(kind, data.draw(st.integers(0, most)))
        messages = np.random.default_rng(seed).normal(size=(num_messages, 3))
        scaled = component(messages * 10.0**exponent)
        np.testing.assert_allclose(scaled / 10.0**exponent, component(messages), atol=1e-6)

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32), num_messages=st.integers(3, 12))
    @pytest.mark.parametrize(
        "kind", sorted(set(COMPONENTS) - {"norm_threshold", "arc"} - OF_FIXED_LENGTH)
    )
    def test_translation_commutes(self, kind: str, seed: int, num_messages: int) -> None:
        faults = (num_messages - 1) // (4 if kind in SHUFFLED else 2)
        component = make(kind, faults)
        generator = np.random.default_rng(seed)
        messages = generator.normal(size=(num_messages, 4))
        shift = 1e3 * generator.normal(size=4)
        np.testing.assert_allclose(
            component(messages + shift), component(messages) + shift, atol=1e-6
        )

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32), num_messages=st.integers(5, 12))
    @pytest.mark.parametrize("kind", sorted(set(COMPONENTS) - SHUFFLED))
    def test_order_of_rows_does_not_matter(self, kind: str, seed: int, num_messages: int) -> None:
        # Krum counts two neighbours or more here; with one, nearest pairs tie.
        faults = (num_messages - 1) // 4
        component = make(kind, faults)
        generator = np.random.default_rng(seed)
        messages = generator.normal(size=(num_messages, 4))
        order = generator.permutation(num_messages)
        expected = component(messages)
        if expected.ndim == 2:
            expected = expected[order]
        if kind == "mda" and not has_one_tightest_subset(messages, faults):
            return
        turned = make(kind, faults, trusted=int(np.argmin(order)))
        np.testing.assert_allclose(turned(messages[order]), expected, atol=1e-7)

    @pytest.mark.parametrize("kind", ["trimmed_mean", "median"])
    def test_order_of_rows_does_not_change_a_bit(self, kind: str) -> None:
        generator = np.random.default_rng(2)
        messages = generator.normal(size=(20, 50))
        rule = COMPONENTS[kind](num_byzantine=4)
        assert np.array_equal(rule(messages), rule(generator.permutation(messages, axis=0)))

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_equal_messages_are_returned(self, kind: str, dtype: Any) -> None:
        vector = np.random.default_rng(3).normal(size=5).astype(dtype) / 4
        result = make(kind, 1)(np.tile(vector, (7, 1)))
        np.testing.assert_allclose(result, np.broadcast_to(vector, result.shape), rtol=1e-6)

    @pytest.mark.parametrize(
        "kind", ["nnm", "krum", "multi_krum", "geometric_median", "mda", "smea"]
    )
    def test_equal_honest_messages_are_returned_to_the_bit(self, kind: str) -> None:
        """With load = N honest devices agree, and these rules then make no error at all."""
        generator = np.random.default_rng(4)
        messages = np.tile(generator.normal(size=30), (11, 1))
        messages[[0, 4, 7]] = generator.normal(size=(3, 30))
        result = COMPONENTS[kind](num_byzantine=3)(messages)
        rows = result[[1, 2, 3, 5, 6, 8, 9, 10]] if result.ndim == 2 else result[None]
        assert np.array_equal(rows, np.broadcast_to(messages[1], rows.shape))

    @pytest.mark.parametrize(
        "kind",
        sorted(set(COMPONENTS) - SHUFFLED - {"median", "geometric_median", "krum", "clip", "arc"}),
    )
    def test_without_faults_it_is_the_mean(self, kind: str) -> None:
        messages = np.random.default_rng(5).normal(size=(8, 6))
        result = COMPONENTS[kind]()(messages)
        np.testing.assert_allclose(
            result, np.broadcast_to(messages.mean(axis=0), result.shape), atol=1e-14
        )

    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_rows_of_zeros(self, kind: str) -> None:
        result = make(kind, 1)(np.zeros((5, 3)))
        assert np.array_equal(result, np.zeros(result.shape))


class TestHugeRows:
    """Finite rows too long to square among f rows disturb nothing, and nothing warns."""

    @pytest.mark.parametrize("position", ["first", "last"])
    @pytest.mark.parametrize("huge", [1e130, 1e160, 1e300, -1.7e308, "mixed"])
    @pytest.mark.parametrize("kind", ROBUST)
    def test_result_stays_among_the_honest(self, kind: str, huge: Any, position: str) -> None:
        generator = np.random.default_rng(6)
        honest = generator.normal(size=(14, 8))
        hostile = np.full((6, 8), 1.7e308 if huge == "mixed" else huge)
        if huge == "mixed":
            hostile[::2] *= -1.0
        component = make(kind, 6)
        result = component(np.concatenate([honest, hostile]))
        assert np.isfinite(result).all()
        clean = honest_output(component, np.concatenate([honest, hostile]), 6)
        if position == "first":
            turned = make(kind, 6, trusted=6)(np.concatenate([hostile, honest]))
            clean = turned[6:] if turned.ndim == 2 else turned
        assert np.abs(clean).max() <= np.abs(honest).max()

    @pytest.mark.parametrize(
        "kind", ["krum", "multi_krum", "norm_threshold", "nnm", "mda", "monna", "caf", "smea"]
    )
    def test_selection_is_that_of_merely_long_rows(self, kind: str) -> None:
        generator = np.random.default_rng(7)
        honest = generator.normal(size=(14, 8))
        direction = generator.normal(size=(6, 8))
        component = COMPONENTS[kind](num_byzantine=6)
        long, huge = (
            honest_output(component, np.concatenate([honest, direction * length]), 6)
            for length in (1e9, 1e300)
        )
        np.testing.assert_allclose(huge, long, rtol=1e-9, atol=1e-9)

    def test_a_huge_row_pulls_the_geometric_median_by_its_direction_alone(self) -> None:
        generator = np.random.default_rng(8)
        honest = generator.normal(size=(14, 3))
        direction = np.array([[1.0, 2.0, -1.0]])
        results = [
            GeometricMedian(num_byzantine=1)(np.concatenate([honest, length * direction]))
            for length in (1e12, 1e150, 1e300)
        ]
        np.testing.assert_allclose(results[1], results[0], atol=1e-7)
        np.testing.assert_allclose(results[2], results[0], atol=1e-7)
        assert np.linalg.norm(results[0] - GeometricMedian()(honest)) > 1e-2

    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_no_sum_overflows(self, kind: str) -> None:
        largest = np.finfo(np.float64).max
        messages = np.full((7, 3), largest)
        messages[::2] *= -1.0
        assert np.isfinite(make(kind, 1)(messages)).all()

    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_largest_float32_rows(self, kind: str) -> None:
        messages = np.random.default_rng(9).normal(size=(9, 4)).astype(np.float32)
        messages[:2] = np.finfo(np.float32).max
        result = make(kind, 2)(messages)
        assert np.isfinite(result).all()


class TestRowsThatAreNotFinite:
    """They count as rows of zeros, in blocks of any number, and nothing warns."""

    @pytest.mark.parametrize("columns", [3, 70_000])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_they_are_zeros(self, kind: str, dtype: Any, columns: int) -> None:
        messages = np.random.default_rng(40).normal(size=(12, columns)).astype(dtype)
        zeroed = messages.copy()
        messages[3, columns - 1] = np.nan
        messages[5, 1] = np.inf
        messages[7] = -np.inf
        messages[7, 0] = np.inf
        zeroed[[3, 5, 7]] = 0.0
        copy = messages.copy()
        component = make(kind, 2 if kind == "bucketing" else 3)
        result = component(messages)
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result, component(zeroed), rtol=1e-6, atol=1e-6)
        assert np.array_equal(messages, copy, equal_nan=True)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_finite_rows(self, dtype: Any, bad: float) -> None:
        largest = np.finfo(dtype).max
        messages = np.array([[largest] * 4, [-largest] * 4, [0.0, 5e-324, -0.0, 1.0]], dtype=dtype)
        assert finite_rows(messages) is messages
        messages[1, 2] = bad
        replaced = finite_rows(messages)
        assert np.array_equal(replaced[[0, 2]], messages[[0, 2]])
        assert not replaced[1].any()
        assert replaced.dtype == dtype

    @pytest.mark.parametrize("kind", sorted(COMPONENTS))
    def test_a_trusted_or_only_row(self, kind: str) -> None:
        assert not make(kind)(np.full((1, 2), np.nan)).any()


class TestPipeline:
    def test_applies_in_order(self) -> None:
        messages = np.random.default_rng(10).normal(size=(9, 4))
        nnm, rule = NearestNeighbourMixing(num_byzantine=2), TrimmedMean(num_byzantine=3)
        assert np.array_equal(Pipeline((), rule)(messages), rule(messages))
        assert np.array_equal(Pipeline((nnm, nnm), rule)(messages), rule(nnm(nnm(messages))))

    def test_is_a_rule(self) -> None:
        pipeline = Pipeline((NearestNeighbourMixing(num_byzantine=2),), Krum(num_byzantine=2))
        assert isinstance(pipeline, Rule)
        assert pipeline.num_byzantine == 2
        assert hash(pipeline) == hash(dataclasses.replace(pipeline))
        assert pipeline == pickle.loads(pickle.dumps(pipeline))

    @pytest.mark.parametrize("last", sorted(RULES))
    @pytest.mark.parametrize("pre", list(permutations(sorted(PRE_AGGREGATIONS), 2)))
    def test_any_two_stages_and_any_rule_go_together(self, pre: tuple[str, ...], last: str) -> None:
        messages = np.random.default_rng(50).normal(size=(20, 4))
        messages[3:5] = 1e6
        pipeline = Pipeline(tuple(make(kind, 2) for kind in pre), make(last, 2))
        result = pipeline(messages)
        assert np.isfinite(result).all()
        assert np.array_equal(result, pipeline(messages))
        again, _ = pipeline.step(messages, streams=Streams(0), iteration=0, state=None)
        if "bucketing" not in pre[1:]:
            assert np.array_equal(result, again)

    def test_a_step_of_plain_parts_is_a_call(self) -> None:
        messages = np.random.default_rng(51).normal(size=(9, 4))
        pipeline = Pipeline((NearestNeighbourMixing(num_byzantine=2),), Krum(num_byzantine=2))
        estimate, state = pipeline.step(messages, streams=Streams(1), iteration=3, state=None)
        assert np.array_equal(estimate, pipeline(messages))
        assert state is None

    def test_the_state_goes_round(self) -> None:
        messages = np.random.default_rng(52).normal(size=(9, 4)) + 10.0
        once = CenteredClipping(num_byzantine=2, threshold=3.0)
        pipeline = Pipeline((), once)
        state = None
        for iteration in range(4):
            estimate, state = pipeline.step(
                messages, streams=Streams(1), iteration=iteration, state=state
            )
        several = dataclasses.replace(once, iterations=4)
        np.testing.assert_allclose(estimate, several(messages), rtol=1e-12)
        assert np.array_equal(pipeline(messages), once(messages))

    def test_buckets_change_with_iteration_stage_and_seed(self) -> None:
        messages = np.arange(40.0)[:, None]
        bucketing = Bucketing(size=2)
        pipeline = Pipeline((bucketing,), Mean())
        drawn = [
            bucketing.sample(messages, Streams(seed), iteration=t, stage=stage).tobytes()
            for seed, t, stage in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        ]
        assert len(set(drawn)) == 4
        assert drawn[0] == bucketing(messages).tobytes()
        one, _ = Pipeline((bucketing,), Krum()).step(
            messages, streams=Streams(7), iteration=5, state=None
        )
        other = Krum()(bucketing.sample(messages, Streams(7), iteration=5, stage=0))
        assert np.array_equal(one, other)
        assert pipeline(messages) == messages.mean()

    def test_protocols(self) -> None:
        stateful = {kind for kind, cls in RULES.items() if isinstance(cls(), StatefulRule)}
        assert stateful == {"centered_clipping"}
        random = {
            kind
            for kind, cls in PRE_AGGREGATIONS.items()
            if isinstance(cls(), RandomisedPreAggregation)
        }
        assert random == {"bucketing"}

    def test_too_few_buckets_are_refused(self) -> None:
        pipeline = Pipeline((Bucketing(num_byzantine=3, size=3),), TrimmedMean(num_byzantine=3))
        with pytest.raises(ParameterError, match="bucketing 16 messages by 3 leaves 6") as caught:
            pipeline(np.ones((16, 2)))
        assert caught.value.parameter == "size"
        assert pipeline(np.ones((19, 2))).shape == (2,)

    def test_checks_what_reaches_each_stage(self) -> None:
        with pytest.raises(ParameterError, match="no minority"):
            Pipeline((NearestNeighbourMixing(num_byzantine=4),), Mean())(np.ones((8, 2)))


def test_every_misspelt_parameter_is_refused(component_class: Any) -> None:
    with pytest.raises(TypeError):
        component_class(num_byzantines=2)


@pytest.mark.parametrize(
    ("build", "parameter"),
    [
        (lambda: Krum(neighbours="n-f"), "neighbours"),  # type: ignore[arg-type]
        (lambda: MultiKrum(neighbours=""), "neighbours"),  # type: ignore[arg-type]
        (lambda: MultiKrum(num_selected=0), "num_selected"),
        (lambda: MultiKrum(num_selected=4)(np.ones((3, 1))), "num_selected"),
        (lambda: GeometricMedian(tolerance=-1e-8), "tolerance"),
        (lambda: GeometricMedian(tolerance=float("nan")), "tolerance"),
        (lambda: GeometricMedian(max_iterations=0), "max_iterations"),
        (lambda: GeometricMedian(smoothing=0.0), "smoothing"),
        (lambda: GeometricMedian(start="mean"), "start"),  # type: ignore[arg-type]
        (lambda: CenteredClipping(threshold=0.0), "threshold"),
        (lambda: CenteredClipping(threshold=float("nan")), "threshold"),
        (lambda: CenteredClipping(iterations=0), "iterations"),
        (lambda: Clip(threshold=float("inf")), "threshold"),
        (lambda: Bucketing(size=0), "size"),
        (lambda: MoNNA(reference=-1), "reference"),
        (lambda: MoNNA(reference=3)(np.ones((3, 1))), "reference"),
        (lambda: MinimumDiameterAveraging(max_subsets=0), "max_subsets"),
        (lambda: SmallestMaximumEigenvalueAveraging(max_subsets=0), "max_subsets"),
        (lambda: MinimumDiameterAveraging(20)(np.ones((100, 1))), "max_subsets"),
        (lambda: SmallestMaximumEigenvalueAveraging(20)(np.ones((100, 1))), "max_subsets"),
    ],
)
def test_parameters_out_of_range_are_named(build: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as caught:
        build()
    assert caught.value.parameter == parameter
