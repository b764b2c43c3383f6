"""Attacks on targets and attacks with a state: each fault is caught by the law it breaks."""

from typing import ClassVar

import numpy as np
import pytest

from lad_mpi import conformance
from lad_mpi.attacks import LabelFlip, Mimic, OptimalIpm


class ReplacesItsState(Mimic):
    def advance(self, honest, context, state):
        state["mean"] = state["mean"] + honest.mean(axis=0)
        return super().advance(honest, context, state)


class NarrowsItsState(Mimic):
    def advance(self, honest, context, state):
        sent = super().advance(honest, context, state)
        state["direction"] = state["direction"].astype(np.float32)
        return sent


_seen = {}


class RemembersOutsideItsState(Mimic):
    """Copies the device whose number is the number of iterations that it has seen."""

    def advance(self, honest, context, state):
        seen = _seen[id(state)] = 0 if context.iteration == 0 else _seen.get(id(state), 0) + 1
        return np.repeat(honest[seen : seen + 1], len(context.devices), axis=0)


class HasNoInitialState(OptimalIpm):
    def advance(self, honest, context, state):
        return self.craft(honest, context)


class CountsFromOne(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        return super().corrupt_targets(targets, num_classes) + 1


class ChangesNothing(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        return targets.copy()


class ReturnsTheSameMemory(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        return targets[::-1]


class FlipsInPlace(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        targets *= -1
        return targets


class ReturnsFloats(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        return super().corrupt_targets(targets, num_classes) * 1.0


class DrawsGlobally(LabelFlip):
    def corrupt_targets(self, targets, num_classes):
        return np.random.permutation(targets)  # noqa: NPY002


class IsOfTwoSorts(LabelFlip):
    kind: ClassVar[str] = "two_sorts"

    def corrupt(self, coded, context):
        return -coded


BROKEN = {
    ReplacesItsState: "state",
    NarrowsItsState: "state",
    RemembersOutsideItsState: "resume",
    HasNoInitialState: "contract",
    CountsFromOne: "targets",
    ChangesNothing: "changes_targets",
    ReturnsTheSameMemory: "own_targets",
    FlipsInPlace: "own_targets",
    ReturnsFloats: "targets",
    DrawsGlobally: "repeatable_targets",
    IsOfTwoSorts: "contract",
}


@pytest.mark.parametrize("attack", BROKEN)
def test_a_broken_attack_is_caught(complaint, attack):
    assert complaint(conformance.attack(attack), BROKEN[attack])


@pytest.mark.parametrize("attack", [LabelFlip, Mimic, OptimalIpm])
def test_a_sound_attack_is_not(complaint, attack):
    suite = conformance.attack(attack)
    assert not any(complaint(suite, law) for law in conformance.laws(suite))
