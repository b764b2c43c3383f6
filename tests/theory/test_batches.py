"""The laws with batches against enumeration, and those of momentum against simulation."""

from __future__ import annotations

import doctest
from dataclasses import dataclass
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import pytest

import lad_mpi.theory.batches
from lad_mpi.errors import ParameterError
from lad_mpi.theory import (
    batch_dispersion,
    batch_gradient_variance,
    batch_mean_error,
    batch_noise,
    coded_variance,
    honest_dispersion,
    honest_mean_error,
    message_dispersion,
    momentum_dispersion,
    momentum_dispersion_limit,
    own_batch_dispersion,
    sampled_dispersion,
)

#: N, m and b. All batches, orders of the subsets and sets of honest rows are few.
SIZES = [(3, 3, 1), (3, 3, 2), (4, 2, 1)]
COLUMNS = 2


@dataclass
class Problem:
    """Gradients of all samples of all subsets, and of all batches that can be drawn."""

    samples: np.ndarray  # (N, m, Q)
    batch_size: int

    @classmethod
    def of(cls, num_subsets: int, size: int, batch_size: int) -> Problem:
        generator = np.random.default_rng([num_subsets, size, batch_size])
        means = generator.normal(0.5, 1.0, size=(num_subsets, 1, COLUMNS))
        spread = generator.gamma(2.0, size=(num_subsets, 1, 1))
        noise = generator.normal(size=(num_subsets, size, COLUMNS))
        return cls(means + spread * noise, batch_size)

    @property
    def subsets(self) -> np.ndarray:
        return self.samples.mean(axis=1)

    @property
    def full(self) -> np.ndarray:
        return self.subsets.mean(axis=0)

    @property
    def beta_squared(self) -> float:
        return squares(self.subsets - self.full)

    @property
    def noise(self) -> float:
        variances = ((self.samples - self.subsets[:, None]) ** 2).sum(axis=-1).mean(axis=1)
        return batch_noise(variances, self.samples.shape[1], batch_size=self.batch_size)

    @property
    def squared_norm(self) -> float:
        return float(self.full @ self.full)

    def drawn(self, copies: int = 1) -> np.ndarray:
        """All gradients of batches, shape (draws, N, copies, Q), each draw once."""
        chosen = [list(b) for b in combinations(range(self.samples.shape[1]), self.batch_size)]
        means = np.array([self.samples[:, b].mean(axis=1) for b in chosen])  # (ways, N, Q)
        num_subsets = len(self.samples)
        every = np.array(list(product(range(len(chosen)), repeat=num_subsets * copies)))
        ways = every.reshape(-1, num_subsets, copies)
        return means[ways, np.arange(num_subsets)[:, None]]


def squares(vectors: np.ndarray) -> float:
    """Mean squared length over all leading axes."""
    return float((vectors**2).sum(axis=-1).mean())


def windows(ordered: np.ndarray, load: int) -> np.ndarray:
    """Window means of gradients in the order π, shape (…, N, Q)."""
    return np.asarray(sum(np.roll(ordered, -j, axis=-2) for j in range(load))) / load


def orders(num_subsets: int) -> np.ndarray:
    return np.array(list(permutations(range(num_subsets))))


def honest_sets(num_subsets: int, num_honest: int) -> np.ndarray:
    return np.array(list(combinations(range(num_subsets), num_honest)))


def about_their_mean(vectors: np.ndarray) -> float:
    return squares(vectors - vectors.mean(axis=-2, keepdims=True))


@pytest.mark.parametrize("sizes", SIZES)
def test_the_noise_is_the_mean_squared_error_of_all_batches(sizes: tuple[int, int, int]) -> None:
    problem = Problem.of(*sizes)
    found = squares(problem.drawn()[:, :, 0] - problem.subsets)
    assert found == pytest.approx(problem.noise, rel=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_laws_hold_exactly_over_all_batches_and_assignments(
    sizes: tuple[int, int, int],
) -> None:
    problem, num_subsets = Problem.of(*sizes), sizes[0]
    known: dict[str, Any] = {"num_devices": num_subsets}
    beta_squared, noise, norm = problem.beta_squared, problem.noise, problem.squared_norm
    gradients = problem.drawn()[:, :, 0]
    of_batches = batch_gradient_variance(beta_squared, noise, **known)
    centred = gradients - gradients.mean(axis=1, keepdims=True)
    assert squares(centred) == pytest.approx(of_batches, rel=1e-12)
    for load in range(1, num_subsets + 1):
        vectors = windows(gradients[:, orders(num_subsets)], load)  # (draws, orders, N, Q)
        one = coded_variance(of_batches, **known, load=load) + noise / num_subsets
        assert squares(vectors - problem.full) == pytest.approx(one, rel=1e-12)
        for num_honest in range(1, num_subsets + 1):
            honest = vectors[:, :, honest_sets(num_subsets, num_honest)]
            counts = {**known, "num_honest": num_honest, "load": load}
            spread = batch_dispersion(beta_squared, noise, norm, **counts)
            assert about_their_mean(honest) == pytest.approx(spread, rel=1e-12, abs=1e-25)
            error = batch_mean_error(beta_squared, noise, norm, **counts)
            assert squares(honest.mean(axis=-2) - problem.full) == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_given_the_batches_the_laws_hold_with_their_variance(
    sizes: tuple[int, int, int],
) -> None:
    """A run knows the batches that it drew, and predicts the dispersion from these."""
    problem, num_subsets = Problem.of(*sizes), sizes[0]
    chosen = honest_sets(num_subsets, num_subsets - 1)
    for gradients in problem.drawn()[:8, :, 0]:
        beta_squared = squares(gradients - gradients.mean(axis=0))
        honest = windows(gradients[orders(num_subsets)], 2)[:, chosen]
        variance = coded_variance(beta_squared, num_devices=num_subsets, load=2)
        counts = {"num_devices": num_subsets, "num_honest": num_subsets - 1}
        expected = sampled_dispersion(variance, 0.0, **counts)
        assert about_their_mean(honest) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_codec_adds_its_noise(sizes: tuple[int, int, int]) -> None:
    """Over all batches, assignments and messages: one coordinate of two, times two."""
    problem, num_subsets = Problem.of(*sizes), sizes[0]
    norm, num_honest, load = problem.squared_norm, 2, 2
    vectors = windows(problem.drawn()[:, orders(num_subsets), 0], load)
    honest = vectors[:, :, honest_sets(num_subsets, num_honest)]
    kept = 2.0 * np.eye(COLUMNS)
    every = [honest * np.stack(kinds) for kinds in product(kept, repeat=num_honest)]
    counts: dict[str, Any] = {"num_devices": num_subsets, "num_honest": num_honest, "load": load}
    expected = batch_dispersion(problem.beta_squared, problem.noise, norm, **counts, delta=1.0)
    assert np.mean([about_their_mean(m) for m in every]) == pytest.approx(expected, rel=1e-12)
    expected = batch_mean_error(problem.beta_squared, problem.noise, norm, **counts, delta=1.0)
    found = np.mean([squares(m.mean(axis=-2) - problem.full) for m in every])
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("sizes", "load"), [((3, 3, 1), 1), ((3, 3, 2), 2), ((4, 2, 1), 2)])
def test_own_batches_scatter_more(sizes: tuple[int, int, int], load: int) -> None:
    """Over all batches of all devices: each draws from each of its subsets for itself."""
    problem, num_subsets = Problem.of(*sizes), sizes[0]
    gradients = problem.drawn(copies=load)  # (draws, N, d, Q): the j-th holder of each subset
    ordered = gradients[:, orders(num_subsets)]
    vectors = sum(np.roll(ordered[..., j, :], -j, axis=-2) for j in range(load)) / load
    counts: dict[str, Any] = {"num_devices": num_subsets, "load": load}
    for num_honest in range(1, num_subsets + 1):
        honest = np.asarray(vectors)[:, :, honest_sets(num_subsets, num_honest)]
        expected = own_batch_dispersion(
            problem.beta_squared, problem.noise, **counts, num_honest=num_honest
        )
        assert about_their_mean(honest) == pytest.approx(expected, rel=1e-12, abs=1e-25)


def test_shared_batches_scatter_less_than_own_ones() -> None:
    counts: dict[str, Any] = {"num_devices": 20, "num_honest": 15}
    for load in range(2, 21):
        shared = batch_dispersion(2.0, 3.0, 0.0, **counts, load=load)
        assert shared < own_batch_dispersion(2.0, 3.0, **counts, load=load)
    assert batch_dispersion(2.0, 3.0, 0.0, **counts, load=20) == 0.0
    assert own_batch_dispersion(2.0, 3.0, **counts, load=20) == pytest.approx(14 / 15 * 3 / 20)


def test_without_noise_the_laws_are_those_of_whole_subsets() -> None:
    counts: dict[str, Any] = {"num_devices": 20, "num_honest": 15, "load": 4}
    assert batch_dispersion(2.0, 0.0, 5.0, **counts) == honest_dispersion(2.0, **counts)
    assert batch_mean_error(2.0, 0.0, 5.0, **counts) == honest_mean_error(2.0, **counts)
    assert own_batch_dispersion(2.0, 0.0, **counts) == honest_dispersion(2.0, **counts)
    compressed = message_dispersion(2.0, 5.0, **counts, delta=3.0)
    assert batch_dispersion(2.0, 0.0, 5.0, **counts, delta=3.0) == compressed


def test_noise_of_subsets_of_many_sizes() -> None:
    """A subset no larger than the batch has no noise, and one sample has none either."""
    sizes = np.array([1, 2, 3, 10])
    variances = np.array([0.0, 7.0, 7.0, 7.0])
    expected = (0.0 + 0.0 + 0.0 + 7.0 * (10 - 3) / (3 * 9)) / 4
    assert batch_noise(variances, sizes, batch_size=3) == pytest.approx(expected, rel=1e-15)
    assert batch_noise(variances, sizes, batch_size=10) == 0.0
    assert batch_noise(variances[1:], 5, batch_size=1) == pytest.approx(7.0, rel=1e-15)
    assert batch_noise(np.zeros(3), 1, batch_size=8) == 0.0


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ParameterError, match="batch_size: must be at least 1, not 0"):
        batch_noise(np.ones(3), 4, batch_size=0)
    with pytest.raises(ParameterError, match="subset_sizes: must be at least 1, not 0"):
        batch_noise(np.ones(3), np.array([4, 0, 4]), batch_size=2)


def test_arrays_go_through() -> None:
    history, noises = np.array([1.0, 0.5, 0.0]), np.array([0.1, 0.3, 0.2])
    norms = np.array([4.0, 2.0, 1.0])
    counts: dict[str, Any] = {"num_devices": 20, "num_honest": 15, "load": 4, "delta": 2.0}
    for law in (batch_dispersion, batch_mean_error):
        expected = [law(*values, **counts) for values in zip(history, noises, norms, strict=True)]
        np.testing.assert_array_equal(law(history, noises, norms, **counts), expected)
    np.testing.assert_array_equal(momentum_dispersion_limit(history, 0.5), history / 3)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_recursion_comes_to_its_limit(momentum: float) -> None:
    found = momentum_dispersion(np.full(400, 3.0), momentum)
    assert found[0] == pytest.approx((1 - momentum) ** 2 * 3.0, rel=1e-12)
    assert found[-1] == pytest.approx(momentum_dispersion_limit(3.0, momentum), rel=1e-12)
    assert (np.diff(found) >= 0.0).all()


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_out_of_range_is_refused(momentum: float) -> None:
    for law in (momentum_dispersion_limit, lambda d, m: momentum_dispersion([d], m)):
        with pytest.raises(ParameterError, match="momentum: must be at least 0 and below 1"):
            law(1.0, momentum)


RUNS, N, H, D, T = 20_000, 7, 5, 2, 12


def simulate(momentum: float, rate: float, *, fixed: bool = False) -> tuple[Any, Any]:
    """Return the mean over runs of D_g and D_m in each iteration, shapes (T,).

    The gradient of subset k is Γ_k x − c_k. The model follows the honest momenta with a rate.
    """
    generator = np.random.default_rng(31)
    curvature = generator.uniform(0.2, 1.8, size=(N, 3))
    centres = generator.normal(size=(N, 3))
    model, momenta = np.full((RUNS, 3), 2.0), np.zeros((RUNS, H, 3))
    spreads = []
    for t in range(T):
        if t == 0 or not fixed:
            order = generator.random((RUNS, N)).argsort(axis=1)
            rows = generator.random((RUNS, N)).argsort(axis=1)[:, :H, None]
        ordered = curvature[order] * model[:, None] - centres[order]
        honest = np.take_along_axis(windows(ordered, D), rows, axis=1)
        momenta = momentum * momenta + (1 - momentum) * honest
        spreads.append((about_their_mean(honest), about_their_mean(momenta)))
        model = model - rate * momenta.mean(axis=1)
    return tuple(np.array(spreads).T)


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_by_simulation(momentum: float, rate: float) -> None:
    """The model stays, or moves along the very momenta."""
    of_gradients, of_momenta = simulate(momentum, rate)
    expected = momentum_dispersion(of_gradients, momentum)
    np.testing.assert_allclose(of_momenta, expected, rtol=0.01)
    if rate:
        assert of_gradients.max() > 1.5 * of_gradients.min(), "the model hardly moves"


def test_momentum_gains_nothing_from_a_fixed_assignment() -> None:
    of_gradients, of_momenta = simulate(0.5, 0.0, fixed=True)
    assert of_momenta[-1] == pytest.approx(of_gradients[-1], rel=1e-3)


def test_docstring_examples() -> None:
    result = doctest.testmod(lad_mpi.theory.batches)
    assert result.attempted > 0
    assert result.failed == 0
