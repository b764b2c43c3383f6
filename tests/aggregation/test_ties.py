"""Which rows a rule takes where several are equally good, against exact arithmetic."""

from __future__ import annotations

import functools
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    CovarianceFilter,
    Krum,
    Meamed,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    NormThreshold,
    SmallestMaximumEigenvalueAveraging,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Row = tuple[Fraction, ...]
Rows = list[Row]


def exact(x: np.ndarray) -> Rows:
    return [tuple(map(Fraction, row)) for row in x.tolist()]


def mean(rows: Sequence[Row]) -> Row:
    return tuple(sum(column, Fraction()) / len(rows) for column in zip(*rows, strict=True))


def squared_distance(a: Row, b: Row) -> Fraction:
    return sum(((p - q) ** 2 for p, q in zip(a, b, strict=True)), Fraction())


def lowest(scores: Sequence[Any], count: int) -> list[int]:
    """The best rows, the lower of two that are equally good."""
    return sorted(range(len(scores)), key=lambda i: (scores[i], i))[:count]


def best_subset(x: Rows, f: int, score: Callable[[Rows], Any]) -> Row:
    """The mean of the subset of least score, the first in lexicographic order."""
    return mean(min((list(rows) for rows in combinations(x, len(x) - f)), key=score))


def nnm(x: Rows, f: int) -> Rows:
    distances = [[squared_distance(a, b) for b in x] for a in x]
    return [mean([x[j] for j in lowest(row, len(x) - f)]) for row in distances]


def krum_scores(x: Rows, f: int) -> list[Fraction]:
    scores = []
    for i, row in enumerate(x):
        others = sorted(squared_distance(row, other) for j, other in enumerate(x) if j != i)
        scores.append(sum(others[: max(1, len(x) - f - 2)], Fraction()))
    return scores


def krum(x: Rows, f: int) -> Row:
    return x[lowest(krum_scores(x, f), 1)[0]]


def multi_krum(x: Rows, f: int) -> Row:
    return mean([x[i] for i in lowest(krum_scores(x, f), len(x) - f)])


def monna(x: Rows, f: int) -> Row:
    return mean([x[i] for i in lowest([squared_distance(row, x[0]) for row in x], len(x) - f)])


def norm_threshold(x: Rows, f: int) -> Row:
    zero = (Fraction(),) * len(x[0])
    return mean([x[i] for i in lowest([squared_distance(row, zero) for row in x], len(x) - f)])


def diameter(rows: Rows) -> Fraction:
    return max((squared_distance(a, b) for a, b in combinations(rows, 2)), default=Fraction())


def mda(x: Rows, f: int) -> Row:
    return best_subset(x, f, diameter)


def largest_eigenvalue(rows: Rows) -> Any:
    """Of the covariance of rows of one or two numbers, to sixty digits."""
    centre = mean(rows)
    away = [tuple(p - q for p, q in zip(row, centre, strict=True)) for row in rows]
    a, b, c = (
        sum((row[i] * row[j] for row in away), Fraction())
        for i, j in ((0, 0), (0, len(centre) - 1), (len(centre) - 1,) * 2)
    )
    if len(centre) == 1:
        return a
    with localcontext() as context:
        context.prec = 80
        spread = (a - c) ** 2 + 4 * b * b
        root = (Decimal(spread.numerator) / Decimal(spread.denominator)).sqrt()
        total = Decimal((a + c).numerator) / Decimal((a + c).denominator)
        return round(total + root, 60)


def smea(x: Rows, f: int) -> Row:
    return best_subset(x, f, largest_eigenvalue)


def meamed(x: Rows, f: int) -> Row:
    means = []
    for column in zip(*x, strict=True):
        ordered = sorted(column)
        median = (ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) / 2
        kept = sorted(ordered, key=lambda value: (abs(value - median), value))[: len(x) - f]
        means.append(sum(kept, Fraction()) / len(kept))
    return tuple(means)


def caf(x: Rows, f: int) -> Row:
    """Of rows of one number."""
    values = [row[0] for row in x]
    weights = [Fraction(1)] * len(x)
    least, best = None, mean(x)[0]
    while f and sum(weights) > len(x) - 2 * f:
        total = sum(weights)
        centre = sum((w * v for w, v in zip(weights, values, strict=True)), Fraction()) / total
        squares = [(v - centre) ** 2 for v in values]
        variance = sum((w * s for w, s in zip(weights, squares, strict=True)), Fraction()) / total
        if least is None or variance < least:
            least, best = variance, centre
        largest = max(s for w, s in zip(weights, squares, strict=True) if w)
        if not largest:
            break
        weights = [
            w * (1 - min(Fraction(1), s / largest)) for w, s in zip(weights, squares, strict=True)
        ]
    return (best,)


REFERENCES: dict[str, tuple[Any, Callable[[Rows, int], Any]]] = {
    "nnm": (NearestNeighbourMixing, nnm),
    "krum": (Krum, krum),
    "multi_krum": (MultiKrum, multi_krum),
    "monna": (MoNNA, monna),
    "norm_threshold": (NormThreshold, norm_threshold),
    "mda": (MinimumDiameterAveraging, mda),
    "smea": (SmallestMaximumEigenvalueAveraging, smea),
    "meamed": (Meamed, meamed),
    "caf": (CovarianceFilter, caf),
}


def inputs() -> Iterator[tuple[np.ndarray, int]]:
    for n, values in ((3, range(-2, 3)), (4, range(-2, 3)), (5, range(-1, 2))):
        for row in product(values, repeat=n):
            for f in range(1, (n + 1) // 2):
                yield np.array(row, dtype=float)[:, None], f
    points = list(product((0.0, 1.0, 3.0), repeat=2))
    for number, rows in enumerate(product(points, repeat=4)):
        if number % 47 == 0:
            yield np.array(rows), 1
    for number, rows in enumerate(product(points[::2], repeat=5)):
        if number % 29 == 0:
            yield np.array(rows), 2


@functools.cache
def cases(kind: str) -> list[tuple[np.ndarray, int, np.ndarray]]:
    reference = REFERENCES[kind][1]
    return [
        (x, f, np.array(reference(exact(x), f), dtype=float))
        for x, f in inputs()
        if kind != "caf" or x.shape[1] == 1
    ]


#: Distances between rows have no unit and no origin; norms have an origin.
SCALES = ((1.0, 0.0), (0.1, 0.0), (0.001, 0.0), (1.0, 0.1))


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize(("scale", "shift"), SCALES)
def test_the_lowest_rows_win_ties(kind: str, scale: float, shift: float) -> None:
    """In floating point as in exact arithmetic, for all small integers, scaled and shifted."""
    if kind == "norm_threshold" and shift:
        return
    rule = REFERENCES[kind][0]
    for x, f, expected in cases(kind):
        result = rule(num_byzantine=f)(scale * x + shift)
        np.testing.assert_allclose(
            (result - shift) / scale, expected, atol=1e-9, err_msg=f"{x.tolist()}, f = {f}"
        )


def test_smea_takes_the_lowest_of_two_subsets() -> None:
    x = np.array([[-2.0], [0.0], [0.0], [2.0]])
    np.testing.assert_allclose(SmallestMaximumEigenvalueAveraging(1)(x), [-2 / 3])


def test_nnm_takes_the_lower_of_two_neighbours() -> None:
    x = np.array([[-1e-6], [3e5], [-0.002], [0.0], [0.002]])
    expected = np.array(nnm(exact(x), 2), dtype=float)
    np.testing.assert_allclose(NearestNeighbourMixing(2)(x), expected, rtol=1e-12, atol=1e-18)
    assert NearestNeighbourMixing(2)(x)[3] < 0


def test_what_floating_point_can_tell_apart_is_no_tie() -> None:
    x = np.array([[0.0], [1.0 + 1e-12], [-1.0]])
    np.testing.assert_allclose(NearestNeighbourMixing(1)(x)[0], [-0.5])
    np.testing.assert_allclose(MoNNA(1)(x), [-0.5])
    np.testing.assert_allclose(NormThreshold(1)(x), [-0.5])
    np.testing.assert_allclose(MinimumDiameterAveraging(1)(x), [-0.5])
    np.testing.assert_allclose(SmallestMaximumEigenvalueAveraging(1)(x), [-0.5])
    assert Krum(1)(x) == 0.0


@pytest.mark.parametrize("kind", ["nnm", "krum", "multi_krum", "mda", "smea", "monna", "meamed"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_they_do_so_in_many_columns_and_on_any_number_of_threads(
    kind: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opposite rows are equally far from zero, to the bit in exact arithmetic."""
    vector = np.abs(np.random.default_rng(0).normal(size=60_000)).astype(dtype)
    x = np.outer([1, -1, 2, 0, -2, 0, 1], vector).astype(dtype)
    factors = np.array([[1.0], [-1.0], [2.0], [0.0], [-2.0], [0.0], [1.0]])
    rule, reference = REFERENCES[kind]
    expected = np.array(reference(exact(factors), 3), dtype=float)
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        result = rule(num_byzantine=3)(x)
        np.testing.assert_allclose(result, expected * vector, rtol=1e-5, atol=1e-5)
