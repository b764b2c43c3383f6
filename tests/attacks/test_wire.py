"""Attacks on packed messages, by the real message format and the real server's checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.attacks import AttackContext, Envelope, Mutate, RandomBytes, mutations
from lad_mpi.compression import CODECS, Channel, Rejection
from lad_mpi.rng import Streams
from lad_mpi.wire import MessageFormat

N, Q = 24, 13
PARAMETERS = {"rand_k": {"k": 4}, "top_k": {"k": 3}, "qsgd": {"levels": 3}}
HEADER_REASONS = {
    Rejection.MAGIC,
    Rejection.VERSION,
    Rejection.CODEC,
    Rejection.DEVICE,
    Rejection.ITERATION,
    Rejection.LENGTH,
    Rejection.CHECKSUM,
    Rejection.PART,
}
PAYLOAD_REASONS = {
    "none": {Rejection.NOT_FINITE},
    "rand_k": {Rejection.NOT_FINITE},
    "qsgd": {Rejection.NOT_FINITE, Rejection.SCALE, Rejection.LEVEL, Rejection.PADDING},
    "top_k": {Rejection.NOT_FINITE, Rejection.INDEX, Rejection.PADDING},
    "sign": {Rejection.NOT_FINITE, Rejection.SCALE, Rejection.PADDING},
    "cast": {Rejection.NOT_FINITE},
    "natural": {Rejection.NOT_FINITE, Rejection.PADDING},
}
EVERY_CODEC = pytest.mark.parametrize("kind", sorted(CODECS))


class Wire:
    """A codec's messages of every device, and what the server makes of them."""

    def __init__(self, kind, seed=1, dtype="float64"):
        codec = CODECS[kind](**PARAMETERS.get(kind, {}))
        self.messages = MessageFormat(codec, Q, np.dtype(dtype))
        self.streams = Streams(seed)

    def channel(self, iteration):
        return Channel(self.streams, iteration, 0, N, Q, self.messages.dtype)

    def packed(self, iteration):
        vectors = np.random.default_rng(iteration).normal(size=(N, Q)).astype(self.messages.dtype)
        slots = np.zeros((N, self.messages.slot_bytes), dtype=np.uint8)
        self.messages.pack(vectors, self.channel(iteration), slots)
        return slots

    def attacked(self, attack, iteration):
        previous = self.packed(iteration - 1)
        context = AttackContext(self.streams, iteration, np.arange(N), 3 * N, N, previous)
        return attack.tamper(self.packed(iteration), self.messages, context)

    def received(self, slots, iteration):
        with np.errstate(all="raise"):
            return self.messages.unpack(slots, self.channel(iteration))


def test_the_message_format_is_an_envelope():
    assert isinstance(Wire("none").messages, Envelope)
    assert set(mutations.HEADER_FIELDS) < set(Wire("none").messages.fields)


@EVERY_CODEC
def test_random_bytes_are_no_message(kind):
    wire = Wire(kind)
    slots = wire.attacked(RandomBytes(), 5)
    vectors, rejections = wire.received(slots, 5)
    assert (rejections == Rejection.MAGIC).all()
    assert not vectors.any()
    assert len(np.unique(slots, axis=0)) == N


@EVERY_CODEC
def test_random_payloads_have_a_faultless_envelope(kind):
    wire = Wire(kind)
    slots, valid = wire.attacked(RandomBytes(keep_envelope=True), 5), wire.packed(5)
    checksum = wire.messages.fields["checksum"]
    header = np.ones(wire.messages.slot_bytes, dtype=bool)
    header[checksum] = header[wire.messages.fields["payload"]] = False
    np.testing.assert_array_equal(slots[:, header], valid[:, header])
    _, rejections = wire.received(slots, 5)
    assert set(rejections.tolist()) <= PAYLOAD_REASONS[kind] | {0}


@EVERY_CODEC
def test_mutations_reach_every_check_and_pass_some(kind):
    wire = Wire(kind)
    found = set()
    for iteration in range(1, 150):
        _, rejections = wire.received(wire.attacked(Mutate(), iteration), iteration)
        found |= set(rejections.tolist())
    assert found == {Rejection.NONE} | HEADER_REASONS | PAYLOAD_REASONS[kind]


@EVERY_CODEC
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_mutation_raises_or_is_half_accepted(kind, dtype):
    """Every example is 24 messages."""

    @given(st.integers(0, 2**63 - 1), st.integers(1, 2**40))
    def holds(seed, iteration):
        wire = Wire(kind, seed, dtype)
        slots = wire.attacked(Mutate(), iteration)
        vectors, rejections = wire.received(slots, iteration)
        assert np.isfinite(vectors).all()
        assert not vectors[rejections != 0].any()
        # Whatever passes has the envelope of an honest message, and its checksum.
        passed = rejections == 0
        valid = wire.packed(iteration)
        sealed = slots.copy()
        wire.messages.seal(sealed)
        np.testing.assert_array_equal(slots[passed], sealed[passed])
        np.testing.assert_array_equal(slots[passed, 8:32], valid[passed, 8:32])

    holds()


def test_a_replay_is_the_whole_message_of_the_iteration_before():
    wire = Wire("qsgd")
    before = wire.packed(6)
    slot = wire.packed(7)[:1]
    mutations._replay(slot, wire.messages, before[0])
    np.testing.assert_array_equal(slot[0], before[0])


def test_bits_are_flipped_in_distinct_places():
    for seed in range(200):
        part = np.zeros(2, dtype=np.uint8)
        mutations.flip_bits(part, np.random.default_rng(seed))
        assert 1 <= np.unpackbits(part).sum() <= 8
