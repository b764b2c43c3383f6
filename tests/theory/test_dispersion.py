"""The exact laws against enumeration and Monte Carlo of the assignment itself."""

from __future__ import annotations

import doctest
import math
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

import lad_mpi.theory.dispersion
from lad_mpi.errors import ParameterError
from lad_mpi.theory import (
    coded_variance,
    honest_dispersion,
    honest_mean_error,
    message_dispersion,
    message_mean_error,
    published_order_as_printed,
    published_order_corrected,
    squared_error_bound,
)

N, H, D = 12, 8, 3
DRAWS = 100_000


def subset_gradients(num_subsets: int, columns: int) -> tuple[np.ndarray, float, float]:
    """Gradients of all subsets, β² and ‖∇F‖²."""
    gradients = np.random.default_rng(20).normal(size=(num_subsets, columns)) + 0.5
    mean = gradients.mean(axis=0)
    variance = float(((gradients - mean) ** 2).sum(axis=1).mean())
    return gradients, variance, float(mean @ mean)


def coded(ordered: np.ndarray, load: int) -> np.ndarray:
    """Window means of gradients in the order π, shape (…, N, Q)."""
    windows = sum(np.roll(ordered, -j, axis=-2) for j in range(load))
    return np.asarray(windows) / load


def spread_and_error(messages: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Mean dispersion of rows about their own mean, and mean squared error of that mean."""
    mean = messages.mean(axis=-2, keepdims=True)
    dispersion = ((messages - mean) ** 2).sum(axis=-1).mean()
    error = ((mean[..., 0, :] - target) ** 2).sum(axis=-1).mean()
    return float(dispersion), float(error)


@pytest.mark.parametrize("load", [1, 2, 3, 5])
def test_laws_hold_exactly_over_all_assignments(load: int) -> None:
    """All orders of 5 subsets and all sets of honest rows: no sampling error is left."""
    gradients, variance, _ = subset_gradients(5, 2)
    target = gradients.mean(axis=0)
    vectors = coded(gradients[np.array(list(permutations(range(5))))], load)
    one = ((vectors - target) ** 2).sum(axis=-1).mean()
    np.testing.assert_allclose(
        one, coded_variance(variance, num_devices=5, load=load), rtol=1e-12, atol=1e-25
    )
    for num_honest in range(1, 6):
        chosen = np.array(list(combinations(range(5), num_honest)))
        dispersion, error = spread_and_error(vectors[:, chosen], target)
        sizes: dict[str, Any] = {"num_devices": 5, "num_honest": num_honest, "load": load}
        np.testing.assert_allclose(
            dispersion, honest_dispersion(variance, **sizes), rtol=1e-12, atol=1e-25
        )
        np.testing.assert_allclose(
            error, honest_mean_error(variance, **sizes), rtol=1e-12, atol=1e-25
        )


def draw_honest(generator: np.random.Generator, gradients: np.ndarray, draws: int) -> np.ndarray:
    """Coded vectors of the honest devices under random π and τ, shape (draws, H, Q)."""
    order = generator.random((draws, N)).argsort(axis=1)
    rows = generator.random((draws, N)).argsort(axis=1)[:, :H]
    return np.take_along_axis(coded(gradients[order], D), rows[:, :, None], axis=1)


def test_laws_by_monte_carlo() -> None:
    gradients, variance, _ = subset_gradients(N, 3)
    target = gradients.mean(axis=0)
    honest = draw_honest(np.random.default_rng(21), gradients, DRAWS)
    one = float(((honest - target) ** 2).sum(axis=-1).mean())
    dispersion, error = spread_and_error(honest, target)
    sizes: dict[str, Any] = {"num_devices": N, "num_honest": H, "load": D}
    assert one == pytest.approx(coded_variance(variance, num_devices=N, load=D), rel=5e-3)
    assert dispersion == pytest.approx(honest_dispersion(variance, **sizes), rel=5e-3)
    assert error == pytest.approx(honest_mean_error(variance, **sizes), rel=1.2e-2)


def test_compressed_messages_by_monte_carlo() -> None:
    """rand-k: k coordinates of Q, drawn by each device for itself, times Q/k."""
    columns, kept = 6, 2
    gradients, variance, squared_norm = subset_gradients(N, columns)
    generator = np.random.default_rng(22)
    honest = draw_honest(generator, gradients, DRAWS)
    ranks = generator.random(honest.shape).argsort(axis=-1)
    messages = np.where(ranks < kept, honest * (columns / kept), 0.0)
    dispersion, error = spread_and_error(messages, gradients.mean(axis=0))
    sizes: dict[str, Any] = {
        "num_devices": N,
        "num_honest": H,
        "load": D,
        "delta": columns / kept - 1.0,
    }
    expected = message_dispersion(variance, squared_norm, **sizes)
    assert dispersion == pytest.approx(expected, rel=5e-3)
    expected = message_mean_error(variance, squared_norm, **sizes)
    assert error == pytest.approx(expected, rel=1.2e-2)


def test_spread_and_error_add_up() -> None:
    sizes: dict[str, Any] = {"num_devices": 100, "num_honest": 80, "load": 10}
    total = honest_dispersion(2.0, **sizes) + honest_mean_error(2.0, **sizes)
    assert total == pytest.approx(coded_variance(2.0, num_devices=100, load=10), rel=1e-14)
    noisy = message_dispersion(2.0, 5.0, **sizes, delta=3.0) + message_mean_error(
        2.0, 5.0, **sizes, delta=3.0
    )
    assert noisy == pytest.approx(total + 3.0 * (total + 5.0), rel=1e-14)


def test_full_load_leaves_only_compression() -> None:
    sizes: dict[str, Any] = {"num_devices": 10, "num_honest": 8, "load": 10}
    assert honest_dispersion(3.0, **sizes) == 0.0
    assert honest_mean_error(3.0, **sizes) == 0.0
    assert message_dispersion(3.0, 4.0, **sizes, delta=0.0) == 0.0
    assert message_dispersion(3.0, 4.0, **sizes, delta=2.0) == pytest.approx(7 / 8 * 2.0 * 4.0)


def test_one_device_is_exact() -> None:
    sizes: dict[str, Any] = {"num_devices": 1, "num_honest": 1, "load": 1}
    assert coded_variance(3.0, num_devices=1, load=1) == 0.0
    assert honest_dispersion(3.0, **sizes) == honest_mean_error(3.0, **sizes) == 0.0
    assert published_order_corrected(3.0, 1.0, **sizes) == 0.0


def test_arrays_go_through() -> None:
    history = np.array([1.0, 0.5, 0.0])
    norms = np.array([4.0, 2.0, 1.0])
    sizes: dict[str, Any] = {"num_devices": 20, "num_honest": 15, "load": 4}
    for law in (honest_dispersion, honest_mean_error):
        expected = [law(float(value), **sizes) for value in history]
        np.testing.assert_array_equal(law(history, **sizes), expected)
    for law in (message_dispersion, message_mean_error):
        expected = [
            law(float(a), float(b), **sizes, delta=2.0) for a, b in zip(history, norms, strict=True)
        ]
        np.testing.assert_array_equal(law(history, norms, **sizes, delta=2.0), expected)
    order = published_order_as_printed(history, 2.0, **(sizes | {"num_honest": 20}))
    assert np.isposinf(order).all()


def test_squared_error_bound() -> None:
    assert squared_error_bound(4.0, 0.5, 0.25) == 4.5
    assert squared_error_bound(math.inf, 0.5, 0.25) == math.inf


def test_published_orders() -> None:
    sizes: dict[str, Any] = {"num_devices": 100, "num_honest": 80, "load": 10}
    printed = published_order_as_printed(2.0, 1.5, **sizes)
    assert printed == pytest.approx(2.0 * math.sqrt(1.5 * 90 * 100 / (10 * 80 * 20)), rel=1e-14)
    corrected = published_order_corrected(2.0, 1.5, **sizes)
    assert corrected == pytest.approx(2.0 * math.sqrt(1.5 * 90 * 100 / (10 * 80 * 99)), rel=1e-14)
    sizes["num_honest"] = 100
    assert published_order_as_printed(2.0, 1.5, **sizes) == math.inf
    assert published_order_corrected(2.0, 1.5, **sizes) < corrected


@pytest.mark.parametrize("load", [0, 11])
@pytest.mark.parametrize(
    "law",
    [
        honest_dispersion,
        honest_mean_error,
        lambda b, **k: published_order_as_printed(b, 1.0, **k),
        lambda b, **k: published_order_corrected(b, 1.0, **k),
        lambda b, **k: message_dispersion(b, 1.0, **k, delta=1.0),
        lambda b, **k: message_mean_error(b, 1.0, **k, delta=1.0),
    ],
)
def test_counts_out_of_range_are_named(law: Any, load: int) -> None:
    with pytest.raises(ParameterError, match="load"):
        law(1.0, num_devices=10, num_honest=8, load=load)
    for num_honest in (0, 11):
        with pytest.raises(ParameterError, match="num_honest"):
            law(1.0, num_devices=10, num_honest=num_honest, load=2)


def test_negative_delta_is_refused() -> None:
    with pytest.raises(ParameterError, match="delta"):
        message_dispersion(1.0, 1.0, num_devices=4, num_honest=3, load=2, delta=-0.1)


def test_docstring_examples() -> None:
    result = doctest.testmod(lad_mpi.theory.dispersion)
    assert result.attempted > 0
    assert result.failed == 0
