"""The layout: which rank hosts which devices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.errors import UsageError
from lad_mpi.transport import Layout


@given(num_devices=st.integers(1, 300), num_ranks=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_blocks_are_contiguous_even_and_complete(num_devices, num_ranks):
    num_ranks = min(num_ranks, num_devices + 1)
    layout = Layout(num_devices, num_ranks)
    blocks = [layout.block(rank) for rank in range(num_ranks)]
    hosted = np.concatenate([np.arange(first, first + count) for first, count in blocks])
    assert hosted.tolist() == list(range(num_devices))
    assert layout.counts.tolist() == [count for _, count in blocks]
    if num_ranks > 1:
        assert blocks[0][1] == 0
        hosts = layout.counts[1:]
        assert hosts.max() - hosts.min() <= 1


def test_there_may_be_one_device_per_rank_but_no_more_ranks():
    assert Layout(4, 5).counts.tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(UsageError, match="1 would have nothing to do"):
        Layout(4, 6)
