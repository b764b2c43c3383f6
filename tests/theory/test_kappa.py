"""The table of κ, and the rules themselves against it."""

from __future__ import annotations

import doctest
import importlib
import math
import re
from typing import Any

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
from lad_mpi.conformance.robustness import ratio, worst_ratio
from lad_mpi.errors import ParameterError
from lad_mpi.theory import AFTER_NNM, KAPPA, kappa, lower_bound

NOT_ROBUST = ["centered_clipping", "mean", "monna", "norm_threshold"]
UNKNOWN = ["caf", "meamed"]
FINITE = sorted(set(KAPPA) - {*NOT_ROBUST, *UNKNOWN})


def build(kind: str, num_byzantine: int) -> Any:
    """The rule as the table means it: Krum counts n − f − 1 neighbours there."""
    if kind in {"krum", "multi_krum"}:
        krum = {"krum": Krum, "multi_krum": MultiKrum}[kind]
        return krum(num_byzantine=num_byzantine, neighbours="n-f-1")
    return RULES[kind](num_byzantine=num_byzantine)  # type: ignore[call-arg]


@pytest.mark.parametrize("nnm", [False, True], ids=["alone", "nnm"])
@pytest.mark.parametrize(("n", "f"), [(7, 1), (15, 7), (20, 4), (11, 3)])
@pytest.mark.parametrize("kind", FINITE)
def test_rules_stay_within_their_kappa(kind: str, n: int, f: int, nnm: bool) -> None:
    rule = build(kind, f)
    if nnm:
        rule = Pipeline((NearestNeighbourMixing(num_byzantine=f),), rule)
    worst = worst_ratio(rule, n, f)
    assert 0.0 < worst <= kappa(kind, n, f, nnm=nnm) * (1 + 1e-9)


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
