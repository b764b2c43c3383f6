"""The table of κ, and the rules themselves against it."""

from __future__ import annotations

import doctest
import importlib
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.aggregation import (
    RULES,
    CenteredClipping,
    Krum,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    Pipeline,
)
from lad_mpi.attacks import ATTACKS, AttackContext, LocalAttack
from lad_mpi.conformance.robustness import ratio
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Streams
from lad_mpi.theory import AFTER_NNM, KAPPA, kappa, lower_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_ROBUST = ["centered_clipping", "mean", "monna", "norm_threshold"]
UNKNOWN = ["caf", "meamed"]
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


#: Attacks on the wire send what is refused, or any vector at all.
ON_VECTORS = sorted(kind for kind, cls in ATTACKS.items() if not hasattr(cls, "tamper"))
#: Besides the defaults; an attack that is not named here is tried with these alone.
STRENGTHS: dict[str, list[dict[str, Any]]] = {
    "sign_flip": [{"scale": -0.1}, {"scale": -1e3}],
    "gaussian": [{"standard_deviation": 1e3}],
    "ipm": [{"tau": 0.1}, {"tau": 100.0}],
    "alie": [{"z": 0.3}, {"z": 1.5}, {"z": -3.0}],
    "mimic": [{"device": 3}],
}


def sent_by(attack: Any, own: np.ndarray, honest: np.ndarray) -> np.ndarray:
    """What f devices send in place of their own vectors; the server sees honest ones first."""
    f, num_honest = len(own), len(honest)
    devices = np.arange(num_honest, num_honest + f, dtype=np.int64)
    context = AttackContext(Streams(33), 0, devices, num_honest + f, f)
    if isinstance(attack, LocalAttack):
        return attack.corrupt(own, context)
    return attack.craft(honest, context)


def worst_under(attack: str, rule: Any, n: int, f: int) -> float:
    """The greatest error, in units of the dispersion, over clouds and strengths."""
    generator = np.random.default_rng([n, f])
    variants = [ATTACKS[attack](**found) for found in [{}, *STRENGTHS.get(attack, [])]]
    return max(
        ratio(rule, cloud[f:], sent_by(variant, cloud[:f], cloud[f:]))
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


def test_published_values() -> None:
    assert lower_bound(100, 20) == pytest.approx(1 / 3)
    assert kappa("trimmed_mean", 100, 20) == pytest.approx(6 * (1 / 3) * (4 / 3))
    assert kappa("krum", 100, 20) == kappa("multi_krum", 100, 20) == pytest.approx(8.0)
    for kind in ("median", "geometric_median"):
        assert kappa(kind, 100, 20) == pytest.approx(64 / 9)
    mixed = kappa("trimmed_mean", 100, 20, nnm=True)
    assert mixed == pytest.approx(2.0 * (1 + kappa("trimmed_mean", 100, 20)))


@pytest.mark.parametrize("n", [1, 5, 30])
def test_no_kappa_is_below_the_lower_bound(n: int) -> None:
    for f in range((n - 1) // 2 + 1):
        for kind in set(KAPPA) - set(UNKNOWN):
            assert kappa(kind, n, f) >= lower_bound(n, f)


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
    names |= {"n": n, "f": f, "r": lower_bound(n, f), "inf": math.inf}
    return float(eval(formula, {"__builtins__": {}}, names))


@pytest.mark.parametrize("kind", [*FINITE, "centered_clipping"])
@pytest.mark.parametrize(("n", "f"), [(100, 20), (11, 3), (7, 0)])
def test_formulas_say_what_is_computed(kind: str, n: int, f: int) -> None:
    assert evaluate(KAPPA[kind].formula, n, f) == pytest.approx(kappa(kind, n, f))
    if kind in FINITE:
        after = evaluate(AFTER_NNM, n, f, kappa=kappa(kind, n, f))
        assert after == pytest.approx(kappa(kind, n, f, nnm=True))


def test_the_documentation_has_the_same_formulas() -> None:
    table = dict(re.findall(r"^ +([a-z_]+|after nnm) {2,}(.+)$", kappa.__doc__ or "", re.MULTILINE))
    assert table.pop("after nnm") == AFTER_NNM
    assert table.items() <= {kind: bound.formula for kind, bound in KAPPA.items()}.items()
    assert len(table) == 6


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
