"""What the suite's own rules and pre-aggregations keep beside the laws of all."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import pickle
import pkgutil
import tracemalloc
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import lad_mpi.aggregation
from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    Bucketing,
    CenteredClipping,
    Clip,
    CoordinateWiseRule,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    Pipeline,
    RandomisedPreAggregation,
    Rule,
    SmallestMaximumEigenvalueAveraging,
    StatefulRule,
    TrimmedMean,
    finite_rows,
)
from lad_mpi.conformance.servers import on_servers
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams

COMPONENTS: dict[str, Any] = {**RULES, **PRE_AGGREGATIONS}
COORDINATE_WISE = {"mean", "median", "trimmed_mean", "meamed"}
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
    def test_the_number_of_faults_comes_first(self, component_class: Any) -> None:
        assert dataclasses.fields(component_class)[0].name == "num_byzantine"
        assert "__call__" in vars(component_class)

    def test_refuses_a_negative_number_of_faults_at_once(self, component_class: Any) -> None:
        with pytest.raises(ParameterError, match="num_byzantine"):
            component_class(num_byzantine=-1)

    @pytest.mark.parametrize(("num_messages", "num_byzantine"), [(2, 1), (4, 2), (5, 3), (1, 1)])
    def test_says_that_faults_are_no_minority(
        self, component_class: Any, num_messages: int, num_byzantine: int
    ) -> None:
        with pytest.raises(ParameterError, match="not a minority"):
            component_class(num_byzantine=num_byzantine)(np.ones((num_messages, 2)))

    @pytest.mark.parametrize(
        "messages",
        [np.ones(3), np.ones((0, 3)), np.ones((3, 0)), np.ones((3, 3), dtype=np.int64)],
        ids=["vector", "no rows", "no columns", "integers"],
    )
    def test_says_what_messages_must_be(self, component_class: Any, messages: np.ndarray) -> None:
        with pytest.raises(ValueError, match="messages"):
            component_class()(messages)


class TestBits:
    @pytest.mark.parametrize("kind", ["trimmed_mean", "median"])
    def test_order_of_rows_does_not_change_a_bit(self, kind: str) -> None:
        generator = np.random.default_rng(2)
        messages = generator.normal(size=(20, 50))
        rule = COMPONENTS[kind](num_byzantine=4)
        assert np.array_equal(rule(messages), rule(generator.permutation(messages, axis=0)))

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


class TestHugeRows:
    """Finite rows too long to square act by their direction alone, or not at all."""

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


@pytest.mark.parametrize("kind", sorted(COORDINATE_WISE))
@pytest.mark.parametrize("n", [3, 21, 100, 300])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rounding_takes_no_mean_beyond_the_largest_number(kind: str, n: int, sign: float) -> None:
    """As many parts of it, each rounded upwards, exceed it."""
    messages = np.full((n, 5), sign * np.finfo(np.float64).max)
    result = make(kind, (n - 1) // 4)(messages)
    np.testing.assert_allclose(result, messages[0], rtol=1e-14)


class TestRowsThatAreNotFinite:
    """They count as rows of zeros."""

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


class TestPipeline:
    def test_applies_in_order(self) -> None:
        messages = np.random.default_rng(10).normal(size=(9, 4))
        nnm, rule = NearestNeighbourMixing(num_byzantine=2), TrimmedMean(num_byzantine=3)
        assert np.array_equal(Pipeline((), rule)(messages), rule(messages))
        assert np.array_equal(Pipeline((nnm, nnm), rule)(messages), rule(nnm(nnm(messages))))

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("kind", sorted(RULES))
    @pytest.mark.parametrize(("n", "columns"), [(15, 200_001), (100, 40_000), (1500, 2000)])
    def test_mixing_by_columns_changes_no_bit(
        self, n: int, columns: int, kind: str, dtype: Any
    ) -> None:
        """Large messages are mixed a few columns at a time before a coordinate-wise rule."""
        if kind in {"mda", "smea"} or (n == 1500 and kind not in COORDINATE_WISE):
            return
        messages = np.random.default_rng(60).normal(1.0, 1.0, size=(n, columns)).astype(dtype)
        messages[2] = np.nan
        messages[1] *= -1e6
        nnm, rule = NearestNeighbourMixing(num_byzantine=3), make(kind, 3)
        pipeline = Pipeline((nnm,), rule)
        expected = rule(nnm(messages))
        assert np.array_equal(pipeline(messages), expected)
        stepped, *_ = pipeline.step(messages, streams=Streams(1), iteration=0, state=None)
        assert np.array_equal(stepped, expected)

    def test_a_rule_with_a_state_gets_what_is_mixed(self) -> None:
        class Stateful(Median):
            def advance(self, messages: Any, state: Any) -> Any:
                return self(messages), messages

        pipeline = Pipeline((NearestNeighbourMixing(1),), Stateful(1))
        messages = np.array([[1.0], [2.0], [9.0], [1e6]])
        estimate, *_ = pipeline.step(messages, streams=Streams(0), iteration=0, state=None)
        assert np.array_equal(estimate, pipeline(messages))

    def test_a_subclass_that_changes_the_call_means_the_call(self) -> None:
        class Shifted(TrimmedMean):
            def __call__(self, messages: Any) -> Any:
                return Median(2)(messages) + 100.0

        class Doubled(NearestNeighbourMixing):
            def __call__(self, messages: Any) -> Any:
                return 2.0 * messages

        messages = np.random.default_rng(63).normal(size=(10, 200_000))
        for pre, rule in ((NearestNeighbourMixing(2), Shifted(2)), (Doubled(2), Median(2))):
            assert np.array_equal(Pipeline((pre,), rule)(messages), rule(pre(messages)))

    def test_mixing_by_columns_holds_no_mixture(self) -> None:
        messages = np.random.default_rng(61).normal(size=(50, 100_000))
        pipeline = Pipeline((NearestNeighbourMixing(10),), TrimmedMean(10))
        pipeline(messages)
        tracemalloc.start()
        pipeline(messages)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < messages.nbytes

    @pytest.mark.parametrize("kind", sorted(RULES))
    def test_a_coordinate_depends_on_its_column_alone_where_a_rule_says_so(self, kind: str) -> None:
        messages = np.random.default_rng(62).normal(size=(9, 60))
        rule = make(kind, 2)
        assert isinstance(rule, CoordinateWiseRule) == (kind in COORDINATE_WISE)
        if kind in COORDINATE_WISE:
            parts = [rule(messages[:, :7]), rule(messages[:, 7:])]
            assert np.array_equal(np.concatenate(parts), rule(messages))

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
        again, *_ = pipeline.step(messages, streams=Streams(0), iteration=0, state=None)
        if "bucketing" not in pre[1:]:
            assert np.array_equal(result, again)

    def test_a_step_of_plain_parts_is_a_call(self) -> None:
        messages = np.random.default_rng(51).normal(size=(9, 4))
        pipeline = Pipeline((NearestNeighbourMixing(num_byzantine=2),), Krum(num_byzantine=2))
        estimate, state, _ = pipeline.step(messages, streams=Streams(1), iteration=3, state=None)
        assert np.array_equal(estimate, pipeline(messages))
        assert state is None

    def test_the_state_goes_round(self) -> None:
        messages = np.random.default_rng(52).normal(size=(9, 4)) + 10.0
        once = CenteredClipping(num_byzantine=2, threshold=3.0)
        pipeline = Pipeline((), once)
        state = None
        for iteration in range(4):
            estimate, state, _ = pipeline.step(
                messages, streams=Streams(1), iteration=iteration, state=state
            )
        several = dataclasses.replace(once, iterations=4)
        np.testing.assert_allclose(estimate, several(messages), rtol=1e-12)
        assert np.array_equal(pipeline(messages), once(messages))

    def test_a_step_returns_what_the_rule_reports(self) -> None:
        messages = np.random.default_rng(53).normal(size=(9, 4))
        messages[:2] *= 1e3
        nnm, rule = NearestNeighbourMixing(num_byzantine=2), GeometricMedian(num_byzantine=2)
        pipeline = Pipeline((nnm,), rule)
        assert [metric.name for metric in pipeline.metrics] == ["rule_iterations", "rule_residual"]
        solution = rule.solve(nnm(messages))
        step = pipeline.step(messages, streams=Streams(1), iteration=3, state=None)
        assert step.reported == (solution.num_iterations, solution.residual)
        assert np.array_equal(step.estimate, solution.estimate)
        assert step.state is None

    def test_a_rule_with_a_state_reports_too(self) -> None:
        messages = np.array([[1.0], [2.0], [10.0], [-7.0], [3.5]])
        pipeline = Pipeline((), CenteredClipping(num_byzantine=2, threshold=2.0))
        assert [metric.name for metric in pipeline.metrics] == ["rule_clipped"]
        first = pipeline.step(messages, streams=Streams(1), iteration=0, state=None)
        assert first.reported == (3.0,)
        second = pipeline.step(messages, streams=Streams(1), iteration=1, state=np.array([9.0]))
        assert second.reported == (4.0,)
        estimate, state = pipeline.rule.advance(messages, np.array([9.0]))  # type: ignore[attr-defined]
        assert np.array_equal(second.estimate, estimate)
        assert np.array_equal(second.state, state)

    def test_other_rules_report_nothing(self) -> None:
        class Called(GeometricMedian):
            def __call__(self, messages: Any) -> Any:
                return Median(self.num_byzantine)(messages)

        messages = np.random.default_rng(54).normal(size=(9, 4))
        for rule in (Krum(2), Called(2)):
            pipeline = Pipeline((), rule)
            step = pipeline.step(messages, streams=Streams(1), iteration=0, state=None)
            assert pipeline.metrics == step.reported == ()
            assert np.array_equal(step.estimate, rule(messages))

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
        one, *_ = Pipeline((bucketing,), Krum()).step(
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
        with pytest.raises(ParameterError, match="not a minority"):
            Pipeline((NearestNeighbourMixing(num_byzantine=4),), Mean())(np.ones((8, 2)))


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


@pytest.mark.parametrize("servers", [2, 3])
def test_a_few_steps_on_several_servers(servers: int) -> None:
    """The geometric median steps on the messages themselves, and each server on its columns."""
    rule = GeometricMedian(2, tolerance=0.0, max_iterations=3, smoothing=0.1, start="zero")
    messages = 3.0 + np.random.default_rng(0).normal(size=(9, 40_001))
    expected = rule.aggregate(messages, None)
    found = on_servers(40_001, servers, lambda own: rule.aggregate(messages[:, own].copy(), None))
    assert np.array_equal(np.concatenate([part.estimate for part in found]), expected.estimate)
    assert {part.reported for part in found} == {expected.reported}
