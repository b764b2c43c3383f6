"""Streams are functions of their key and nothing else."""

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


def test_the_stream_is_pinned():
    # Published results name a seed: these numbers must never change.
    words = Streams(1).words(Purpose.COMPRESSION, 2, 2, first_device=3)
    assert words.tolist() == [[12302254158543626417, 5432620888700562362]]


def test_unit_interval_covers_its_ends():
    edges = unit_interval(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert edges[0] == 0.0
    assert 0.9999 < edges[1] < 1.0
