"""Every rule and pre-aggregation that ByzFL has too gives its results, at its parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    AdaptiveClipping,
    Bucketing,
    CenteredClipping,
    Clip,
    CovarianceFilter,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    SmallestMaximumEigenvalueAveraging,
    TrimmedMean,
)
from lad_mpi.rng import Purpose, Streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

pytestmark = pytest.mark.peers

THREE_STEPS: dict[str, Any] = {
    "smoothing": 0.1,
    "max_iterations": 3,
    "tolerance": 0.0,
    "start": "zero",
}
#: Ours and ByzFL's for f faults, by ByzFL's name.
PAIRS: dict[str, tuple[Callable[[int], Any], Callable[[Any, int], Any]]] = {
    "Average": (Mean, lambda byzfl, f: byzfl.Average()),
    "Median": (Median, lambda byzfl, f: byzfl.Median()),
    "TrMean": (TrimmedMean, lambda byzfl, f: byzfl.TrMean(f)),
    "Meamed": (Meamed, lambda byzfl, f: byzfl.Meamed(f)),
    "GeometricMedian": (
        lambda f: GeometricMedian(f, **THREE_STEPS),
        lambda byzfl, f: byzfl.GeometricMedian(nu=0.1, T=3),
    ),
    "Krum": (lambda f: Krum(f, "n-f-1"), lambda byzfl, f: byzfl.Krum(f)),
    "MultiKrum": (lambda f: MultiKrum(f, None, "n-f-1"), lambda byzfl, f: byzfl.MultiKrum(f)),
    "CenteredClipping": (
        lambda f: CenteredClipping(f, threshold=2.5, iterations=3),
        lambda byzfl, f: byzfl.CenteredClipping(L=3, tau=2.5),
    ),
    "MDA": (MinimumDiameterAveraging, lambda byzfl, f: byzfl.MDA(f)),
    "MoNNA": (lambda f: MoNNA(f, reference=1), lambda byzfl, f: byzfl.MoNNA(f, idx=1)),
    "NNM": (NearestNeighbourMixing, lambda byzfl, f: byzfl.NNM(f)),
    "Clipping": (lambda f: Clip(f, threshold=1.5), lambda byzfl, f: byzfl.Clipping(1.5)),
    "ARC": (AdaptiveClipping, lambda byzfl, f: byzfl.ARC(f)),
}
#: Compared below, by themselves: two draw random numbers to find an eigenvector, one to shuffle.
APART = {"CAF", "SMEA", "Bucketing"}
#: Where the number of subsets is that of C(n, f).
EXPONENTIAL = {"MDA"}

#: n, f, D.
SMALL = [(2, 0, 3), (3, 1, 1), (5, 1, 4), (9, 4, 7), (10, 0, 5), (11, 3, 1), (14, 5, 300)]
#: Enough for compiled kernels and for more than two blocks of columns.
LARGE = [(20, 4, 60_000), (33, 8, 31_000)]


def honest(n: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(n, columns))


def shifted(n: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """A mean of thirty times the spread."""
    return 30.0 * generator.normal(size=columns) + generator.normal(size=(n, columns))


def skewed(n: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Coordinates and rows of unlike size, with heavy tails."""
    scale = 10.0 ** generator.uniform(-3, 3, size=columns)
    return scale * generator.normal(size=(n, columns)) ** 3


def hostile(f: int, kind: str, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Replace f rows, at random places, by rows of one kind."""
    x = x.copy()
    places = generator.permutation(len(x))[:f]
    mean = np.delete(x, places, axis=0).mean(axis=0)
    x[places] = {
        "none": x[places],
        "near": mean + 0.3 * x.std(axis=0),
        "clustered": -2.0 * mean + 1e-3 * generator.normal(size=(f, x.shape[1])),
        "far": 1e6 * generator.normal(size=(f, x.shape[1])),
        "zero": 0.0,
    }[kind]
    return x


CLOUDS = [honest, shifted, skewed]
#: Compared below, to fewer digits.
BY_ITSELF = {("GeometricMedian", shifted, "zero")}
HOSTILE = ["none", "near", "clustered", "far", "zero"]


def inputs(name: str, n: int, f: int, columns: int) -> list[np.ndarray]:
    generator = np.random.default_rng([n, f, columns])
    return [
        hostile(f, kind, cloud(n, columns, generator), generator)
        for cloud in CLOUDS
        for kind in (HOSTILE if f else ["none"])
        if (name, cloud, kind) not in BY_ITSELF
    ]


def test_nothing_of_byzfl_is_left_out(byzfl: SimpleNamespace) -> None:
    modules = ("byzfl.aggregators.aggregators", "byzfl.aggregators.preaggregators")
    theirs = {
        name
        for name, value in vars(byzfl).items()
        if inspect.isclass(value) and value.__module__ in modules
    }
    assert theirs == {*PAIRS, *APART}


@pytest.mark.parametrize("size", SMALL, ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_equal(
    name: str, size: tuple[int, int, int], byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    ours, theirs = PAIRS[name]
    n, f, columns = size
    for x in inputs(name, n, f, columns):
        # ByzFL's clipping works in place; its centred clipping divides by lengths of zero.
        with np.errstate(divide="ignore"):
            expected = theirs(byzfl, f)(x.copy())
        assert_equal(ours(f)(x), expected)


@pytest.mark.parametrize("size", LARGE, ids=str)
@pytest.mark.parametrize("name", [name for name in PAIRS if name not in EXPONENTIAL])
def test_equal_with_many_columns(
    name: str, size: tuple[int, int, int], byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    ours, theirs = PAIRS[name]
    n, f, columns = size
    generator = np.random.default_rng([n, f, columns])
    x = hostile(f, "clustered", shifted(n, columns, generator), generator)
    assert_equal(ours(f)(x), theirs(byzfl, f)(x.copy()))


@pytest.mark.parametrize("ratio", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("columns", [300, 30_000])
def test_steps_of_the_geometric_median_near_rows_far_from_the_majority(
    columns: int, ratio: float, byzfl: SimpleNamespace, deviation: Any
) -> None:
    """Seen from the majority, squared distances cancel there: a loss that only this start can meet.

    From zero the first step ends near rows of zeros, which the default start,
    in the majority, never does. Small messages are seen from where the steps are.
    """
    generator = np.random.default_rng(4)
    x = ratio * generator.normal(size=columns) + generator.normal(size=(14, columns))
    x[:5] = 0.0
    theirs = byzfl.GeometricMedian(nu=0.1, T=3)(x)
    lost = (np.linalg.norm(x[-1]) / np.linalg.norm(theirs)) ** 2 * np.finfo(np.float64).eps
    allowed = 1e-14 if columns == 300 else 20 * lost
    assert deviation(GeometricMedian(5, **THREE_STEPS)(x), theirs) <= allowed
    # The geometric median itself lies among the others, whose radius is the root of their number.
    assert np.linalg.norm(GeometricMedian(5)(x) - x[5:].mean(axis=0)) < np.sqrt(columns)


def test_centred_clipping_goes_on_from_its_last_result(
    byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    ours, theirs = CenteredClipping(2, threshold=3.0), byzfl.CenteredClipping(L=1, tau=3.0)
    state = None
    for x in np.random.default_rng(1).normal(2.0, 1.0, size=(6, 9, 5)):
        estimate, state = ours.advance(x, state)
        assert_equal(estimate, theirs(x))


@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 1), (7, 2), (12, 3), (20, 7), (5, 9)])
@pytest.mark.parametrize("columns", [4, 70_000])
def test_bucketing_with_the_same_order(
    n: int, size: int, columns: int, byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    """ByzFL is given the rows such that its shuffle brings them into the order of ours."""
    x = np.random.default_rng(n).normal(size=(n, columns))
    ours = Bucketing(size=size).sample(x, Streams(3), iteration=5, stage=0)
    order = np.argsort(Streams(3).words(Purpose.PRE_AGGREGATION, 5, n, first_device=0)[0])
    np.random.seed(8)  # noqa: NPY002  (ByzFL draws from the global generator)
    shuffle = np.random.permutation(n)  # noqa: NPY002
    given = np.empty_like(x)
    given[shuffle] = x[order]
    np.random.seed(8)  # noqa: NPY002
    assert_equal(ours, byzfl.Bucketing(size)(given))


@pytest.mark.parametrize(("n", "f"), [(3, 1), (7, 2), (9, 4), (11, 3)])
@pytest.mark.parametrize("columns", [1, 6, 80])
def test_smea_where_one_step_of_the_power_method_will_do(
    n: int, f: int, columns: int, byzfl: SimpleNamespace, assert_equal: Any
) -> None:
    """That is for single numbers, and where hostile rows are far away."""
    generator = np.random.default_rng([n, f, columns])
    rule = SmallestMaximumEigenvalueAveraging(f)
    for _ in range(5):
        x = honest(n, columns, generator)
        if columns > 1:
            x = hostile(f, "far", x, generator)
        assert_equal(rule(x), byzfl.SMEA(f)(x))


@pytest.mark.parametrize(("n", "f"), [(6, 2), (9, 2), (10, 2), (10, 4), (16, 3), (24, 4)])
def test_caf_where_one_step_of_the_power_method_will_do(
    n: int, f: int, byzfl: SimpleNamespace, assert_equal: Any, passes_of_caf: Callable[..., int]
) -> None:
    """That is for single numbers, as long as no row of weight zero is the farthest.

    In the first pass there is none, and what the second sets comes too late to matter.
    """
    generator = np.random.default_rng([n, f])
    filtered = 0
    for _ in range(60):
        ends = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
        x = generator.choice([0.0, 1.0]) * ends + 0.2 * honest(n, 1, generator)
        if passes_of_caf(x, f) <= 2:
            assert_equal(CovarianceFilter(f)(x), byzfl.CAF(f)(x))
            filtered += not np.allclose(byzfl.CAF(f)(x), x.mean(axis=0))
    assert filtered >= 5
