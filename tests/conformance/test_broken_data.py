"""Data with one fault each are caught by the law they break."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi import conformance
from lad_mpi.data import Synthetic, SyntheticClassification, make_samples

X = np.random.default_rng(0).normal(size=(40, 3))


class OneSubsetTooMany(Synthetic):
    def draw(self, num_subsets, streams):
        return super().draw(num_subsets + 1, streams)


class ClassesFromOne(SyntheticClassification):
    def draw(self, num_subsets, streams):
        data = super().draw(num_subsets, streams)
        return dataclasses.replace(data, targets=data.targets + 1)


class DrawsInSingle(Synthetic):
    def draw(self, num_subsets, streams):
        data = super().draw(num_subsets, streams)
        return dataclasses.replace(data, features=data.features.astype(np.float32))


class OneStreamForAll(Synthetic):
    def draw(self, num_subsets, streams):
        data = super().draw(num_subsets, streams)
        return dataclasses.replace(data, features=data.features + num_subsets)


class IgnoresTheSeed(Synthetic):
    def draw(self, num_subsets, streams):
        return super().draw(num_subsets, type(streams)(1))


class DrawsGlobally(Synthetic):
    def draw(self, num_subsets, streams):
        return super().draw(num_subsets, type(streams)(np.random.randint(9)))  # noqa: NPY002


class DeclaresMoreSamples(Synthetic):
    def draw(self, num_subsets, streams):
        return Synthetic(samples_per_subset=2).draw(num_subsets, streams)


class DeclaresAnotherTask(Synthetic):
    def draw(self, num_subsets, streams):
        return SyntheticClassification(dimension=100).draw(num_subsets, streams)


@dataclass(frozen=True)
class Stored:
    """Data without a fault."""

    kind: ClassVar[str] = "stored"

    def samples(self):
        return make_samples(X, X[:, 0], ["in memory"])

    def read(self):
        return self.samples(), None

    def digest(self):
        return self.read()[0].digest


class HasNoReading(Stored):
    def samples(self):
        return dataclasses.replace(super().samples(), reading="")


class HasNaN(Stored):
    def samples(self):
        return dataclasses.replace(
            super().samples(), targets=X[:, 0] / np.where(X[:, 1] > 0, 1, np.nan)
        )


class HasAnotherDigest(Stored):
    def digest(self):
        return make_samples(X, X[:, 1], [""]).digest


class DigestOfTheName(Stored):
    def samples(self):
        return dataclasses.replace(super().samples(), digest="stored")


class ShapeOfSomethingElse(Stored):
    def samples(self):
        return dataclasses.replace(super().samples(), shape=(2, 2))


class TestsOfAnotherShape(Stored):
    __test__ = False

    def read(self):
        return self.samples(), make_samples(X[:, :2], X[:, 0], ["in memory"])


class ReadsSomethingElseEachTime(Stored):
    calls: ClassVar[list[int]] = []

    def samples(self):
        self.calls.append(0)
        return make_samples(X + len(self.calls), X[:, 0], ["in memory"])


BROKEN = {
    OneSubsetTooMany: "subsets",
    ClassesFromOne: "subsets",
    DrawsInSingle: "subsets",
    OneStreamForAll: "streams",
    IgnoresTheSeed: "seed",
    DrawsGlobally: "global_generators",
    DeclaresMoreSamples: "form",
    DeclaresAnotherTask: "form",
    HasNoReading: "read",
    HasNaN: "read",
    HasAnotherDigest: "digest",
    DigestOfTheName: "digest",
    ShapeOfSomethingElse: "read",
    TestsOfAnotherShape: "read",
    ReadsSomethingElseEachTime: "repeatable",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_data_set_is_caught(complaint, broken):
    law = BROKEN[broken]
    suite = conformance.data(broken)
    assert law in conformance.laws(suite)
    assert f"breaks the law {law!r}" in complaint(suite, law)


@pytest.mark.parametrize("sound", [Synthetic, SyntheticClassification, Stored])
def test_sound_data_keep_all_laws(complaint, sound):
    suite = conformance.data(sound)
    assert not [found for law in conformance.laws(suite) if (found := complaint(suite, law))]


def test_laws_are_those_of_what_is_read_or_of_what_is_drawn():
    drawn, read = (conformance.laws(conformance.data(cls)).keys() for cls in (Synthetic, Stored))
    assert drawn - read == {"form", "seed", "streams", "some_subsets"}
    assert read - drawn == {"read"}
