"""The table of κ, and the rules themselves against it."""

from __future__ import annotations

import doctest
import importlib
import math
import re
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    RULES,
    CenteredClipping,
    GeometricMedian,
    Krum,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    Pipeline,
)
from lad_mpi.attacks import ATTACKS, AttackContext, LocalAttack, OmniscientAttack
from lad_mpi.conformance.robustness import ratio, worst_ratio
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams
from lad_mpi.theory import AFTER_NNM, KAPPA, PUBLISHED, kappa, lower_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_ROBUST = ["centered_clipping", "mean", "monna", "norm_threshold"]
UNKNOWN = ["caf"]
FINITE = sorted(set(KAPPA) - {*NOT_ROBUST, *UNKNOWN})


def build(kind: str, num_byzantine: int) -> Any:
    """The rule as the table means it: Krum counts n − f − 1 neighbours there."""
    if kind in {"krum", "multi_krum"}:
        krum = {"krum": Krum, "multi_krum": MultiKrum}[kind]
        return krum(num_byzantine=num_byzantine, neighbours="n-f-1")
    return RULES[kind](num_byzantine=num_byzantine)  # type: ignore[call-arg]


def clouds(n: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Vectors of n devices, none of them hostile yet, in one dimension and in several."""
    for columns in (1, 2, 12):
        normal = generator.normal(size=(n, columns))
        yield normal + 1.0
        yield (normal + 1.0) ** 3
    columns = int(generator.choice([1, 2, 12]))
    normal = generator.normal(size=(n, columns))
    # In three groups, in two places, with an outlier, of coordinates of unlike size.
    yield 0.1 * normal + 5.0 * generator.normal(size=(3, columns))[generator.integers(0, 3, n)]
    yield np.sign(normal) + 2.0
    yield np.where(np.arange(n)[:, None] == n - 1, 1e3, normal)
    yield normal * 10.0 ** generator.uniform(-3, 3, size=columns)


#: Attacks on the wire send messages that are refused, or any vector at all. An attack on the
#: data sends what a device can compute.
ON_VECTORS = sorted(
    kind for kind, cls in ATTACKS.items() if isinstance(cls(), LocalAttack | OmniscientAttack)
)
#: Besides the defaults; an attack that is not named here is tried with these alone.
STRENGTHS: dict[str, list[dict[str, Any]]] = {
    "sign_flip": [{"scale": -0.1}, {"scale": -1e3}],
    "gaussian": [{"standard_deviation": 1e3}],
    "ipm": [{"tau": 0.1}, {"tau": 100.0}],
    "alie": [{"z": 0.3}, {"z": 1.5}, {"z": -3.0}],
    "mimic_fixed": [{"device": 3}],
    "min_max": [{"perturbation": "unit"}, {"perturbation": "sign"}],
    "min_sum": [{"perturbation": "unit"}, {"perturbation": "sign"}],
}


#: They apply the rule for each evaluation; a few are enough to reach large factors.
SEARCHES = {"optimal_ipm", "optimal_alie"}


def sent_by(attack: Any, rule: Any, own: np.ndarray, honest: np.ndarray) -> np.ndarray:
    """Return what f devices send in place of their own vectors, which come last."""

    def aggregate(sent: np.ndarray) -> np.ndarray:
        return rule(np.concatenate([honest, sent]))

    f, num_honest = len(own), len(honest)
    devices = np.arange(num_honest, num_honest + f, dtype=np.int64)
    context = AttackContext(Streams(33), 0, devices, num_honest + f, f, aggregate=aggregate)
    if isinstance(attack, LocalAttack):
        return attack.corrupt(own, context)
    return attack.craft(honest, context)


def worst_under(attack: str, rule: Any, n: int, f: int) -> float:
    """The greatest error, in units of the dispersion, over clouds and strengths."""
    generator = np.random.default_rng([n, f])
    strengths = [{"evaluations": 6}] if attack in SEARCHES else [{}, *STRENGTHS.get(attack, [])]
    variants = [ATTACKS[attack](**found) for found in strengths]
    return max(
        ratio(rule, cloud[f:], sent_by(variant, rule, cloud[:f], cloud[f:]))
        for cloud in clouds(n, generator)
        for variant in variants
    )


def hostile_points(honest: np.ndarray) -> list[np.ndarray]:
    """Places for f hostile rows that no attack of the table takes, weak and strong."""
    mean, deviation = honest.mean(axis=0), honest.std(axis=0)
    return [
        -0.1 * mean,
        mean + 1e6,
        *(mean - z * deviation for z in (0.7, 1.0, 2.0)),
        honest[np.argmax(((honest - mean) ** 2).sum(axis=1))],
    ]


def mixed(kind: str, f: int, nnm: bool) -> Any:
    rule = build(kind, f)
    return Pipeline((NearestNeighbourMixing(num_byzantine=f),), rule) if nnm else rule


#: n and f; rules that look at all subsets are spared what takes them long.
SIZES = [(7, 1), (11, 3), (11, 5), (20, 4), (21, 10)]
CASES = [
    (kind, n, f)
    for kind in FINITE
    for n, f in SIZES
    if kind not in {"mda", "smea"} or math.comb(n, f) < 500
]


@pytest.mark.parametrize("nnm", [False, True], ids=["alone", "nnm"])
@pytest.mark.parametrize(("kind", "n", "f"), CASES)
@pytest.mark.parametrize("attack", ON_VECTORS)
def test_rules_stay_within_their_kappa_under_every_attack(
    attack: str, kind: str, n: int, f: int, nnm: bool
) -> None:
    worst = worst_under(attack, mixed(kind, f, nnm), n, f)
    assert 0.0 < worst <= kappa(kind, n, f, nnm=nnm) * (1 + 1e-9)


@pytest.mark.parametrize(("n", "f"), SIZES)
@pytest.mark.parametrize("attack", ["gaussian", "ipm", "sign_flip"])
def test_the_mean_is_beyond_every_kappa_there(attack: str, n: int, f: int) -> None:
    """So the attacks above would tell a rule that is not robust."""
    largest = max(kappa(kind, n, f, nnm=True) for kind in FINITE)
    assert worst_under(attack, build("mean", f), n, f) > largest


@pytest.mark.parametrize("nnm", [False, True], ids=["alone", "nnm"])
@pytest.mark.parametrize(("kind", "n", "f"), CASES)
def test_rules_stay_within_their_kappa_wherever_hostile_rows_lie(
    kind: str, n: int, f: int, nnm: bool
) -> None:
    generator = np.random.default_rng(30)
    rule = mixed(kind, f, nnm)
    worst = 0.0
    for honest in clouds(n - f, generator):
        for point in hostile_points(honest):
            worst = max(worst, ratio(rule, honest, np.tile(point, (f, 1))))
    assert 0.0 < worst <= kappa(kind, n, f, nnm=nnm) * (1 + 1e-9)


@pytest.mark.parametrize("krum", [Krum, MultiKrum])
@pytest.mark.parametrize(("n", "f"), [(7, 1), (12, 5), (20, 4)])
@pytest.mark.parametrize("attack", ON_VECTORS)
def test_krum_as_published_stays_within_a_bound_of_its_own(
    attack: str, n: int, f: int, krum: Any
) -> None:
    bound = (3 + 2 * math.sqrt(2)) * (n - f) / (n - 2 * f - 1)
    assert 0.0 < worst_under(attack, krum(f, neighbours="n-f-2"), n, f) <= bound


@pytest.mark.parametrize("krum", [Krum, MultiKrum])
def test_krum_as_published_has_no_bound_where_faults_are_all_but_half(krum: Any) -> None:
    """Two hostile rows that agree count one neighbour each, the other."""
    honest = np.random.default_rng(34).normal(size=(3, 2))
    hostile = np.full((2, 2), 1e6)
    assert ratio(krum(2, neighbours="n-f-2"), honest, hostile) > 1e6
    assert ratio(krum(2, neighbours="n-f-1"), honest, hostile) <= kappa(krum.kind, 5, 2)
    assert ratio(krum(2, neighbours="n-f-2"), np.tile(honest, (2, 1)), hostile) < 100.0


@pytest.mark.parametrize("kind", FINITE)
def test_no_rule_beats_the_lower_bound(kind: str) -> None:
    """Of n − f ones and f zeros either the ones or all zeros and some ones may be honest."""
    n, f = 10, 3
    x = np.array([[1.0]] * (n - f) + [[0.0]] * f)
    result = float(build(kind, f)(x)[0])
    worst = 0.0
    for hostile_ones in range(f + 1):
        honest = x[hostile_ones : n - f + hostile_ones]
        dispersion = float(honest.var())
        error = (result - float(honest.mean())) ** 2
        if dispersion == 0.0:
            assert error == pytest.approx(0.0, abs=1e-20)
        else:
            worst = max(worst, error / dispersion)
    assert worst >= lower_bound(n, f) * (1 - 1e-12)


@pytest.mark.parametrize("kind", ["mean", "norm_threshold"])
def test_rules_without_a_kappa_have_none(kind: str) -> None:
    honest = np.ones((7, 2)) + 1e-9 * np.random.default_rng(31).normal(size=(7, 2))
    rule = build(kind, 2)
    assert ratio(rule, honest, np.zeros((2, 2))) > 1e12
    assert kappa(kind, 9, 2) == kappa(kind, 9, 2, nnm=True) == math.inf
    assert kappa(kind, 9, 0) == 0.0


def exactly(kind: str, values: tuple[int, ...], f: int) -> Fraction:
    """A rule on integers of one dimension, in rational numbers and by its definition."""
    n, ordered = len(values), sorted(values)
    median = Fraction(ordered[(n - 1) // 2] + ordered[n // 2], 2)
    if kind == "median":
        return median
    kept = ordered[f : n - f]
    if kind == "meamed":
        kept = sorted(ordered, key=lambda value: abs(value - median))[: n - f]
    return Fraction(sum(kept), len(kept))


def worst_on_a_grid(kind: str, n: int, f: int, places: int) -> Fraction:
    """The greatest error over all integers below ``places`` and all sets of hostile ones."""
    worst = Fraction(0)
    for values in combinations_with_replacement(range(places), n):
        result = exactly(kind, values, f)
        for honest in set(combinations(values, n - f)):
            mean = Fraction(sum(honest), len(honest))
            dispersion = sum((value - mean) ** 2 for value in honest) / len(honest)
            if dispersion == 0:
                assert result == mean
            else:
                worst = max(worst, (result - mean) ** 2 / dispersion)
    return worst


@pytest.mark.parametrize("kind", ["trimmed_mean", "median", "meamed"])
def test_no_integers_and_no_hostile_set_exceed_the_sharper_bounds(kind: str) -> None:
    """Every n up to 6 and every f; those of the trimmed mean and the median are attained."""
    for n in range(1, 7):
        for f in range((n - 1) // 2 + 1):
            worst = worst_on_a_grid(kind, n, f, places=4)
            if kind == "meamed":
                assert worst <= kappa(kind, n, f) * (1 + 1e-12)
            else:
                assert float(worst) == pytest.approx(kappa(kind, n, f), rel=1e-12)


@pytest.mark.parametrize("kind", ["trimmed_mean", "median"])
@pytest.mark.parametrize(("n", "f"), [(7, 1), (16, 5), (20, 9), (21, 10), (30, 0), (100, 20)])
def test_trimmed_mean_and_median_attain_their_kappa(kind: str, n: int, f: int) -> None:
    worst = worst_ratio(build(kind, f), n, f)
    assert worst == pytest.approx(kappa(kind, n, f), rel=1e-9, abs=1e-20)


def test_published_values() -> None:
    assert lower_bound(100, 20) == pytest.approx(1 / 3)
    assert kappa("krum", 100, 20) == kappa("multi_krum", 100, 20) == pytest.approx(8.0)
    assert kappa("geometric_median", 100, 20) == pytest.approx(64 / 9)
    assert kappa("median", 100, 20, published=True) == pytest.approx(64 / 9)
    trimmed = kappa("trimmed_mean", 100, 20, published=True)
    assert trimmed == pytest.approx(6 * (1 / 3) * (4 / 3))
    assert kappa("trimmed_mean", 100, 20, nnm=True, published=True) == pytest.approx(
        2.0 * (1 + trimmed)
    )
    assert math.isnan(kappa("meamed", 100, 20, published=True))


def test_sharper_values() -> None:
    assert kappa("trimmed_mean", 100, 20) == lower_bound(100, 20)
    assert kappa("median", 100, 20) == pytest.approx(49 / 31)
    assert kappa("meamed", 100, 20) == pytest.approx(80 / 80 * (1 + 49 / 31))
    assert kappa("trimmed_mean", 100, 20, nnm=True) == pytest.approx(2.0 * (1 + 1 / 3))
    assert [kappa("median", n, 0) for n in (1, 2, 3, 4)] == pytest.approx([0, 0, 1 / 2, 1 / 3])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 10, 41, 100])
def test_what_is_sharper_is_not_above_what_is_published(n: int) -> None:
    for kind in PUBLISHED:
        for f in range((n - 1) // 2 + 1):
            assert kappa(kind, n, f) <= kappa(kind, n, f, published=True)


def test_more_rows_than_are_honest_are_not_averaged() -> None:
    messages = np.array([[0.0], [0.0], [0.0], [1e6]])
    with pytest.raises(ParameterError, match=r"at most n - f = 4 - 1 = 3, not 4") as caught:
        MultiKrum(num_byzantine=1, num_selected=4)(messages)
    assert caught.value.parameter == "num_selected"
    assert MultiKrum(num_byzantine=1, num_selected=3)(messages) == 0.0
    assert MultiKrum(num_byzantine=0, num_selected=4)(messages) == 250_000.0


def test_a_geometric_median_of_fixed_smoothing_has_no_kappa() -> None:
    """Within that length it is a mean; the smoothing by default follows the messages."""
    honest = 1.0 + 1e-9 * np.random.default_rng(35).normal(size=(7, 2))
    hostile = np.full((2, 2), 1.05)
    assert ratio(GeometricMedian(2, smoothing=0.1), honest, hostile) > 1e12
    assert ratio(GeometricMedian(2), honest, hostile) <= kappa("geometric_median", 9, 2)
    assert KAPPA["geometric_median"].condition == "without a fixed smoothing"


@pytest.mark.parametrize("krum", [Krum, MultiKrum])
def test_krum_as_published_is_robust_for_three_messages(krum: Any) -> None:
    """It counts one neighbour there, and none would be n − f − 2."""
    for seed in range(200):
        rows = np.random.default_rng(seed).normal(size=(3, 2)) * [[1.0], [1.0], [3.0]]
        assert ratio(krum(1), rows[:2], rows[2:]) <= kappa(krum.kind, 3, 1)
    far = np.array([[0.0], [1.0], [1e6]])
    assert ratio(krum(1), far[:2], far[2:]) <= kappa(krum.kind, 3, 1)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_no_kappa_is_below_the_lower_bound(n: int) -> None:
    for f in range((n - 1) // 2 + 1):
        for kind in set(KAPPA) - set(UNKNOWN):
            assert kappa(kind, n, f) >= lower_bound(n, f) * (1 - 1e-12)


def test_without_faults_mixing_is_the_mean() -> None:
    kinds = set(KAPPA) - {"centered_clipping"}
    assert all(kappa(kind, 10, 0, nnm=True) == 0.0 for kind in kinds)


def test_clipping_need_not_arrive_and_a_trusted_row_may_be_hostile() -> None:
    honest = np.ones((7, 2)) + 1e-9 * np.random.default_rng(32).normal(size=(7, 2))
    clipping = CenteredClipping(num_byzantine=2, threshold=0.5)
    assert ratio(clipping, honest, honest[:2]) > 1e12
    trusting = MoNNA(num_byzantine=2, reference=7)
    assert ratio(trusting, honest, np.zeros((2, 2))) > 1e12
    for kind in ("centered_clipping", "monna"):
        assert kappa(kind, 9, 2) == kappa(kind, 9, 2, nnm=True) == math.inf
    assert kappa("centered_clipping", 9, 0, nnm=True) == math.inf


def test_kappa_of_averages_over_subsets() -> None:
    assert kappa("smea", 100, 20) == pytest.approx(4 / 3)
    assert kappa("mda", 20, 4) == pytest.approx(8.0)
    assert all(math.isnan(kappa(kind, 10, 2, nnm=True)) for kind in UNKNOWN)


def evaluate(formula: str, n: int, f: int, **names: float) -> float:
    """A formula for people as a number: a space between two factors multiplies."""
    for sign, operator in {"²": "**2", "−": "-", "∞": "inf", "κ": "kappa"}.items():
        formula = formula.replace(sign, operator)
    formula = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula)
    names |= {"n": n, "f": f, "r": lower_bound(n, f), "k": (n + 1) // 2, "inf": math.inf}
    return float(eval(formula, {"__builtins__": {}}, names))


@pytest.mark.parametrize("kind", [*FINITE, "centered_clipping"])
@pytest.mark.parametrize(("n", "f"), [(100, 20), (11, 3), (7, 0)])
def test_formulas_say_what_is_computed(kind: str, n: int, f: int) -> None:
    assert evaluate(KAPPA[kind].formula, n, f) == pytest.approx(kappa(kind, n, f))
    if kind in PUBLISHED:
        expected = kappa(kind, n, f, published=True)
        assert evaluate(PUBLISHED[kind].formula, n, f) == pytest.approx(expected)
    if kind in FINITE:
        after = evaluate(AFTER_NNM, n, f, kappa=kappa(kind, n, f))
        assert after == pytest.approx(kappa(kind, n, f, nnm=True))


def test_the_documentation_has_the_same_formulas() -> None:
    row = r"^ +([a-z_]+|after nnm) {2,}(\S.*?) {2,}(\S.*)$"
    table = {
        kind: (sharpest, published)
        for kind, sharpest, published in re.findall(row, kappa.__doc__ or "", re.MULTILINE)
    }
    assert table.pop("rule") == ("sharpest", "published")
    assert table.pop("after nnm") == (AFTER_NNM, "the same")
    assert set(table) == set(FINITE) - {"multi_krum"}
    for kind, (sharpest, published) in table.items():
        assert sharpest == KAPPA[kind].formula
        assert published == (PUBLISHED[kind].formula if kind in PUBLISHED else "none")


def test_every_rule_is_in_the_table() -> None:
    assert set(KAPPA) == set(RULES)


def test_unknown_rules_have_no_known_kappa() -> None:
    assert math.isnan(kappa("my_rule", 10, 2))
    assert math.isnan(kappa("my_rule", 10, 2, nnm=True))


@pytest.mark.parametrize(("n", "f"), [(10, 5), (10, -1), (0, 0)])
def test_faults_that_are_no_minority_are_refused(n: int, f: int) -> None:
    with pytest.raises(ParameterError, match="num_byzantine"):
        kappa("krum", n, f)


def test_docstring_examples() -> None:
    result = doctest.testmod(importlib.import_module("lad_mpi.theory.kappa"))
    assert result.attempted > 0
    assert result.failed == 0
