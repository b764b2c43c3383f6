"""Streams depend only on their key."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.rng import Purpose, Streams, unit_interval


@given(
    count=st.integers(1, 30),
    first=st.integers(0, 50),
    split=st.integers(0, 10),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=50, deadline=None)
def test_a_devices_words_do_not_depend_on_the_block_they_are_drawn_in(count, first, split, seed):
    streams = Streams(seed)
    draw = {"purpose": Purpose.COMPRESSION, "iteration": 3, "count": count}
    whole = streams.words(**draw, first_device=first, num_devices=10)
    head = streams.words(**draw, first_device=first, num_devices=split)
    tail = streams.words(**draw, first_device=first + split, num_devices=10 - split)
    np.testing.assert_array_equal(whole, np.concatenate([head, tail]))


def test_every_part_of_the_key_counts():
    draws = {
        Streams(seed).words(purpose, iteration, 1, first_device=device)[0, 0]
        for seed in (1, 2)
        for purpose in (Purpose.ATTACK, Purpose.COMPRESSION)
        for iteration in (0, 1)
        for device in (0, 1)
    }
    assert len(draws) == 16


def test_generators_of_devices_are_streams_of_their_own():
    streams = Streams(5)
    draws = [streams.generator(Purpose.ATTACK, 2, device).normal() for device in range(4)]
    assert len(set(draws)) == 4
    assert draws[2] == streams.generator(Purpose.ATTACK, 2, 2).normal()


def test_permutations_are_uniform():
    streams = Streams(11)
    counts = np.zeros((5, 5))
    trials = 4000
    for iteration in range(trials):
        permutation = streams.permutation(Purpose.SUBSET_ORDER, iteration, 5)
        counts[np.arange(5), permutation] += 1
    # Each cell is binomial(trials, 1/5); six standard deviations miss once in 10^8.
    sigma = np.sqrt(trials * 0.2 * 0.8)
    assert (np.abs(counts - trials / 5) < 6 * sigma).all()


def test_devices_share_no_words_whatever_the_counts():
    """Words of a generator are disjoint from them, too."""
    streams = Streams(2)
    owners = {}
    for device in range(6):
        for count in (1, 4, 5, 8, 16, 17, 64):
            drawn = streams.words(Purpose.PRE_AGGREGATION, 3, count, first_device=device)
            for word in drawn[0].tolist():
                assert owners.setdefault(word, device) == device, (device, count)
        generator = streams.generator(Purpose.PRE_AGGREGATION, 3, device)
        for word in generator.bit_generator.random_raw(64).tolist():
            assert owners.setdefault(word, ("generator", device)) == ("generator", device)
    assert len(owners) == 6 * (64 + 64)


@given(few=st.integers(1, 40), more=st.integers(0, 40), device=st.integers(0, 2**64 - 1))
@settings(max_examples=50, deadline=None)
def test_drawing_more_words_changes_none(few, more, device):
    draw = {"purpose": Purpose.COMPRESSION, "iteration": 3, "first_device": device}
    some = Streams(1).words(**draw, count=few)
    np.testing.assert_array_equal(some, Streams(1).words(**draw, count=few + more)[:, :few])


def test_the_streams_are_pinned():
    # Published results give a seed, so these numbers must never change. Version 0.2 changed the
    # words of devices other than 0, because words of different counts overlapped.
    streams = Streams(1)
    words = streams.words(Purpose.COMPRESSION, 2, 2, num_devices=4)
    assert words[0].tolist() == [12419481413453116758, 10531328255729352027]
    assert words[3].tolist() == [1231494999749538372, 8879599364512125606]
    assert streams.permutation(Purpose.SUBSET_ORDER, 4, 6).tolist() == [0, 5, 4, 3, 2, 1]
    generator = streams.generator(Purpose.ATTACK, 2, 3)
    assert generator.bit_generator.random_raw(2).tolist() == [
        14274299722202053037,
        9257424926414358371,
    ]


def test_unit_interval_covers_its_ends():
    edges = unit_interval(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert edges[0] == 0.0
    assert 0.9999 < edges[1] < 1.0
