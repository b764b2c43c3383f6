"""Optimizers with one fault each are caught by the law they break."""

import numpy as np
import pytest

from lad_mpi import conformance
from lad_mpi.optimizers import Adam, GradientDescent, Momentum


class ChangesTheEstimate(GradientDescent):
    def direction(self, estimate, state, iteration):
        estimate *= 2.0
        return estimate


class Widens(GradientDescent):
    def direction(self, estimate, state, iteration):
        return estimate.astype(np.float64)


class Ascends(GradientDescent):
    def direction(self, estimate, state, iteration):
        return -estimate


class DrawsGlobally(GradientDescent):
    def direction(self, estimate, state, iteration):
        return estimate * np.random.random()  # noqa: NPY002


class DividesByZero(GradientDescent):
    def direction(self, estimate, state, iteration):
        return estimate / np.abs(estimate)


class WarnsOfOverflow(GradientDescent):
    def direction(self, estimate, state, iteration):
        return 2.0 * estimate


class ReplacesItsState(Momentum):
    def direction(self, estimate, state, iteration):
        state["velocity"] = self.momentum * state["velocity"] + estimate
        return state["velocity"]


class AddsToItsState(Momentum):
    def direction(self, estimate, state, iteration):
        state.setdefault("first", estimate.copy())
        return super().direction(estimate, state, iteration)


class KeepsTheEstimate(Momentum):
    def direction(self, estimate, state, iteration):
        state["velocity"] = estimate
        return estimate


class StartsWithTheModel(Momentum):
    def initial_state(self, like):
        return {"velocity": like.copy()}


_hidden = {}


class HidesItsState(GradientDescent):
    """Adds up its estimates outside the state, and forgets them in iteration 0."""

    def direction(self, estimate, state, iteration):
        if id(state) not in _hidden or iteration == 0:
            _hidden[id(state)] = np.zeros_like(estimate)
        with np.errstate(all="ignore"):
            _hidden[id(state)] += estimate
        return _hidden[id(state)].copy()


class ForgetsTheNumberOfSteps(Adam):
    """Divides by a power that is zero before the first step."""

    def direction(self, estimate, state, iteration):
        return super().direction(estimate, state, iteration - 1)


BROKEN = {
    ChangesTheEstimate: "estimate",
    Widens: "dtype",
    Ascends: "descends",
    DrawsGlobally: "global_generators",
    DividesByZero: "zero",
    WarnsOfOverflow: "largest_numbers",
    ReplacesItsState: "state",
    AddsToItsState: "state",
    KeepsTheEstimate: "own_memory",
    StartsWithTheModel: "like",
    HidesItsState: "resume",
    ForgetsTheNumberOfSteps: "zero",
}


@pytest.mark.parametrize("optimizer", BROKEN)
def test_a_broken_optimizer_is_caught(complaint, optimizer):
    assert complaint(conformance.optimizer(optimizer), BROKEN[optimizer])


@pytest.mark.parametrize("optimizer", [GradientDescent, Momentum, Adam])
def test_a_sound_optimizer_is_not(complaint, optimizer):
    suite = conformance.optimizer(optimizer)
    assert not any(complaint(suite, law) for law in conformance.laws(suite))
