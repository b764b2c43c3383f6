"""Components of other families with one fault each are caught by the law they break."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from lad_mpi import conformance
from lad_mpi.aggregation import Clip, NearestNeighbourMixing
from lad_mpi.attacks import SignFlip
from lad_mpi.coding import Cyclic, DracoRepetition
from lad_mpi.compression import NoCompression, Qsgd, RandK, Rejection


class MixesOtherwise(NearestNeighbourMixing):
    """Says other weights than it mixes with."""

    def mixture(self, messages):
        found = super().mixture(messages)
        return dataclasses.replace(found, weights=found.weights[::-1])

    def __call__(self, messages):
        return super().mixture(messages).whole()


class MixesInAnotherPrecision(NearestNeighbourMixing):
    def __call__(self, messages):
        return super().__call__(messages.astype(np.float64)).astype(messages.dtype)


class ChangesWhatItMixes(NearestNeighbourMixing):
    def mixture(self, messages):
        messages[0] = 0.0
        return super().mixture(messages)


class RaisesOnHostileBytes(NoCompression):
    wire_code: ClassVar[int] = 201

    def decode(self, payloads, channel):
        vectors, rejections = super().decode(payloads, channel)
        if rejections.any():
            raise ValueError("bad payload")
        return vectors, rejections


class AcceptsInfinity(NoCompression):
    wire_code: ClassVar[int] = 202

    def decode(self, payloads, channel):
        vectors = payloads.view(channel.dtype.newbyteorder("<")).astype(channel.dtype)
        return vectors, np.zeros(len(vectors), dtype=np.int64)


class SharesTheRandomNumbersOfABlock(RandK):
    wire_code: ClassVar[int] = 203

    def encode(self, vectors, channel):
        return super().encode(vectors, self._first(channel))

    def decode(self, payloads, channel):
        return super().decode(payloads, self._first(channel))

    def _first(self, channel):
        count = channel.num_devices if channel.rows is None else len(channel.rows)
        return dataclasses.replace(channel, rows=np.zeros(count, dtype=np.int64))


class ForgetsToScale(RandK):
    wire_code: ClassVar[int] = 204

    def decode(self, payloads, channel):
        vectors, rejections = super().decode(payloads, channel)
        return vectors * channel.dtype.type(self.k / channel.dimension), rejections


class LiesAboutItsSize(NoCompression):
    wire_code: ClassVar[int] = 205

    def payload_bytes(self, dimension, dtype):
        return super().payload_bytes(dimension, dtype) + 1


class TakenNumber(NoCompression):
    wire_code: ClassVar[int] = 1


class KeepsWhatItRefuses(NoCompression):
    wire_code: ClassVar[int] = 206

    def decode(self, payloads, channel):
        vectors, rejections = super().decode(payloads, channel)
        vectors[rejections != Rejection.NONE] = 1
        return vectors, rejections


class ForgetsColumns(NoCompression):
    """Changes the decoding of the whole, and not that of columns."""

    def decode(self, payloads, channel):
        vectors, rejections = super().decode(payloads, channel)
        return np.round(vectors, 3), rejections


class CutsBuckets(Qsgd):
    """Says that messages can be cut anywhere, and not only between buckets."""

    wire_code: ClassVar[int] = 207

    @property
    def column_unit(self):
        return 1


class DoesNothing(SignFlip):
    def corrupt(self, coded, context):
        _ = super().corrupt(coded, context)
        return coded.copy()


class FlipsInPlace(SignFlip):
    def corrupt(self, coded, context):
        coded *= coded.dtype.type(self.scale)
        return coded


class WidensWhatIsSent(SignFlip):
    def corrupt(self, coded, context):
        return coded * np.float64(self.scale)


class DrawsForTheBlock(SignFlip):
    def corrupt(self, coded, context):
        noise = context.generator(0).standard_normal(coded.shape)
        return noise.astype(coded.dtype)


class DrawsGlobally(SignFlip):
    def corrupt(self, coded, context):
        return np.random.normal(size=coded.shape).astype(coded.dtype)  # noqa: NPY002


class SendsSums(Cyclic):
    def assign(self, num_devices, num_byzantine, streams, iteration):
        assignment = super().assign(num_devices, num_byzantine, streams, iteration)
        assignment.weights[...] = 2.0
        return assignment


class ClaimsTooMuch(Cyclic):
    def recovers_exactly(self, num_devices, num_byzantine):
        return True


@dataclass(frozen=True)
class DeniesWhatItDoes(Cyclic):
    load: int = 23

    def recovers_exactly(self, num_devices, num_byzantine):
        return False


@dataclass(frozen=True)
class ForgetsTheCircle(Cyclic):
    """Independent subsets would scatter by this much."""

    load: int = 4

    def variance_factor(self, num_devices, num_byzantine):
        return 1 / self.load


@dataclass(frozen=True)
class HasTheLawOfAnother(Cyclic):
    """Its devices have the same rows always."""

    load: int = 4
    assignment: str = "fixed"

    def variance_factor(self, num_devices, num_byzantine):
        return (num_devices - self.load) / (self.load * (num_devices - 1))


class DecodesTheRest(DracoRepetition):
    """Says that it recovers ∇F, and takes the mean of all."""

    def decode(self, messages, assignment, num_byzantine, *, streams, iteration):
        decoded = super().decode(
            messages, assignment, num_byzantine, streams=streams, iteration=iteration
        )
        return dataclasses.replace(decoded, gradient=messages.mean(axis=0))


class PassesNoContext(SignFlip):
    def corrupt(self, coded):
        return -coded


class AlwaysSure(DracoRepetition):
    def decode(self, messages, assignment, num_byzantine, *, streams, iteration):
        decoded = super().decode(
            messages, assignment, num_byzantine, streams=streams, iteration=iteration
        )
        return type(decoded)(decoded.gradient, type(decoded.status).EXACT)


PRE_AGGREGATIONS = {
    MixesOtherwise: "mixture",
    MixesInAnotherPrecision: "mixture",
    ChangesWhatItMixes: "mixture",
}

CODECS = {
    RaisesOnHostileBytes: "hostile_payloads",
    AcceptsInfinity: "not_finite",
    SharesTheRandomNumbersOfABlock: "block",
    ForgetsToScale: "bias_and_variance",
    LiesAboutItsSize: "shapes_and_dtypes",
    TakenNumber: "protocol",
    KeepsWhatItRefuses: "hostile_payloads",
    ForgetsColumns: "columns",
    CutsBuckets: "columns",
}

ATTACKS = {
    DoesNothing: "attacks",
    FlipsInPlace: "own_memory",
    WidensWhatIsSent: "shape_and_dtype",
    DrawsForTheBlock: "block",
    DrawsGlobally: "global_generators",
    PassesNoContext: "contract",
}

CODES = {
    SendsSums: "weights",
    AlwaysSure: "too_many_faults",
    ClaimsTooMuch: "recovers_exactly",
    DeniesWhatItDoes: "recovers_exactly",
    DecodesTheRest: "recovers_exactly",
    ForgetsTheCircle: "variance_factor",
    HasTheLawOfAnother: "variance_factor",
}


@pytest.mark.parametrize("pre", PRE_AGGREGATIONS)
def test_a_broken_pre_aggregation_is_caught(complaint, pre):
    assert complaint(conformance.pre_aggregation(pre), PRE_AGGREGATIONS[pre])


def test_a_law_of_mixtures_is_tried_where_there_are_any():
    assert "mixture" in conformance.laws(conformance.pre_aggregation(NearestNeighbourMixing))
    assert "mixture" not in conformance.laws(conformance.pre_aggregation(Clip))


def test_laws_of_what_a_code_declares_are_tried_where_it_does():
    declared = {"recovers_exactly", "variance_factor"}
    assert declared <= conformance.laws(conformance.code(Cyclic)).keys()
    found = conformance.laws(conformance.code(DracoRepetition)).keys() & declared
    assert found == {"recovers_exactly"}


@pytest.mark.parametrize("codec", CODECS)
def test_a_broken_codec_is_caught(complaint, codec):
    makers = {RandK: lambda Q: codec(max(1, Q // 3)), Qsgd: lambda Q: codec(5, bucket=8)}
    make = makers.get(codec.__base__)
    assert complaint(conformance.codec(codec, make=make), CODECS[codec])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_broken_attack_is_caught(complaint, attack):
    assert complaint(conformance.attack(attack), ATTACKS[attack])


@pytest.mark.parametrize("code", CODES)
def test_a_broken_code_is_caught(complaint, code):
    assert complaint(conformance.code(code), CODES[code])
