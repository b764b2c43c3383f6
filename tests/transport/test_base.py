"""The layout: which rank hosts which devices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.errors import UsageError
from lad_mpi.transport import Layout


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_blocks_are_contiguous_even_and_complete(num_devices, hosts, num_servers):
    hosts = min(hosts, num_devices)
    num_ranks = 1 if hosts == 1 else hosts + num_servers
    layout = Layout(num_devices, num_ranks, num_servers)
    blocks = [layout.block(rank) for rank in range(num_ranks)]
    hosted = np.concatenate([np.arange(first, first + count) for first, count in blocks])
    assert hosted.tolist() == list(range(num_devices))
    assert layout.counts.tolist() == [count for _, count in blocks]
    roles = [server for rank in range(num_ranks) for server in layout.servers_of(rank)]
    assert roles == list(range(num_servers))
    if num_ranks > 1:
        assert not layout.counts[:num_servers].any()
        hosts = layout.counts[num_servers:]
        assert hosts.max() - hosts.min() <= 1


def test_there_may_be_one_device_per_rank_but_no_more_ranks():
    assert Layout(4, 5).counts.tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(UsageError, match="1 would have nothing to do"):
        Layout(4, 6)
    with pytest.raises(UsageError, match="6 ranks for 2 servers and 3 devices: 1 would have"):
        Layout(3, 6, 2)
    for num_ranks in (2, 3):
        with pytest.raises(UsageError, match="none would host devices"):
            Layout(4, num_ranks, 3)
