"""Compiled iterations on Gram matrices, against linear algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lad_mpi.aggregation.kernels_gram import filter_weights, top_eigenpair, weiszfeld


def gram_of(n: int, columns: int = 40, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, columns))
    return x @ x.T


MATRICES = {
    **{f"{n} rows": gram_of(n) for n in (1, 2, 3, 4, 17, 60)},
    "few columns": gram_of(30, 2),
    "diagonal": np.diag([3.0, 1.0, 7.0, 2.0]),
    "two parts": np.kron(np.diag([1.0, 5.0]), np.array([[4.0, 3.0], [3.0, 4.0]])),
    "equal": np.ones((6, 6)),
    "multiple": np.eye(5),
    "zero": np.zeros((4, 4)),
    "huge": 1e240 * gram_of(9),
    "tiny": 1e-280 * gram_of(9),
}


@pytest.mark.parametrize("name", MATRICES)
def test_the_top_eigenpair_is_that_of_linear_algebra(name: str) -> None:
    matrix = MATRICES[name]
    value, vector = top_eigenpair(matrix.copy())
    values = np.linalg.eigvalsh(matrix)
    limit = 1e-14 * len(matrix)
    assert value == pytest.approx(values[-1], rel=limit)
    assert math.isclose(np.linalg.norm(vector), 1.0, rel_tol=1e-12)
    residual = np.linalg.norm((matrix @ vector - value * vector) / max(value, 1e-300))
    assert residual < limit


def test_close_eigenvalues_are_told_apart() -> None:
    """Their eigenvectors are exact up to rounding over their relative difference."""
    basis, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(50, 50)))
    values = np.linspace(0.1, 0.9, 50)
    values[-2:] = 1.0, 1.0 + 1e-6
    _, vector = top_eigenpair((basis * values) @ basis.T)
    assert abs(vector @ basis[:, -1]) == pytest.approx(1.0, abs=1e-12)


def test_the_filter_is_that_of_linear_algebra() -> None:
    n, f = 40, 8
    scales = np.where(np.arange(n) < f, 3.0, 1.0)
    gram = gram_of(n, 400) * np.outer(scales, scales)
    weights, least, best = np.ones(n), math.inf, np.full(n, 1.0 / n)
    while weights.sum() > n - 2 * f:
        shares = weights / weights.sum()
        centring = np.eye(n) - shares
        inner = centring @ gram @ centring.T
        values, vectors = np.linalg.eigh(np.sqrt(np.outer(shares, shares)) * inner)
        if values[-1] < least:
            least, best = values[-1], shares
        tau = (inner @ (np.sqrt(shares) * vectors[:, -1])) ** 2
        weights = weights * np.maximum(0.0, 1.0 - tau / tau[shares > 0.0].max())
        weights[weights < 1e-11] = 0.0
    found = filter_weights(gram, f)
    np.testing.assert_allclose(found, best, atol=1e-11)
    assert not np.allclose(found, 1.0 / n)


def test_steps_to_the_geometric_median() -> None:
    x = np.random.default_rng(0).normal(size=(9, 3))
    weights = np.full(9, 1.0 / 9)
    centre = x.mean(axis=0)
    steps, residual = weiszfeld(x @ x.T, weights, 1e-9, 0.0, 1)
    distances = np.linalg.norm(x - centre, axis=1)
    np.testing.assert_allclose(weights, 1.0 / distances / (1.0 / distances).sum(), rtol=1e-12)
    pull = ((x - centre) / distances[:, None]).mean(axis=0)
    assert (steps, residual) == (1, pytest.approx(np.linalg.norm(pull)))
    steps, residual = weiszfeld(x @ x.T, weights, 1e-9, 1e-6, 1000)
    assert steps < 1000
    assert residual <= 1e-6
