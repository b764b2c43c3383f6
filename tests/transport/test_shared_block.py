"""Memory that processes of a host share."""

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from lad_mpi.transport import SharedBlock, arrays_in, map_block, size_of

SHAPES = [((3, 5), np.float32), ((0, 5), np.float64), ((4,), np.int64)]
READER = """
import sys
from lad_mpi.transport import arrays_in, map_block
arrays = arrays_in(map_block(sys.argv[1]), [((3, 5), "<f4"), ((0, 5), "<f8"), ((4,), "<i8")])
print(float(arrays[0].sum()), arrays[1].shape, arrays[2].tolist(), arrays[0].flags.writeable)
"""


def filled(block):
    arrays = arrays_in(block.memory, SHAPES)
    arrays[0][:] = np.arange(15).reshape(3, 5)
    arrays[2][:] = [7, 8, 9, 10]
    return arrays


def read(address):
    done = subprocess.run(
        [sys.executable, "-c", READER, address], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_another_process_reads_what_the_first_wrote_and_cannot_write():
    with SharedBlock(size_of(SHAPES)) as block:
        filled(block)
        assert read(block.address) == "105.0 (0, 5) [7, 8, 9, 10] False"


def test_arrays_start_at_cache_lines():
    with SharedBlock(size_of(SHAPES)) as block:
        assert [array.ctypes.data % 64 for array in arrays_in(block.memory, SHAPES)] == [0, 0, 0]


def test_arrays_outlive_the_block_and_nobody_else_can_map_it_any_more():
    with SharedBlock(size_of(SHAPES)) as block:
        address, arrays = block.address, filled(block)
    assert arrays[2].tolist() == [7, 8, 9, 10]
    # The number of the descriptor may have been used again.
    assert read(address).startswith(("FileNotFoundError", "OSError"))


def test_another_file_at_the_same_place_is_refused(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(512))
    with SharedBlock(512) as block:
        _, *identity = json.loads(block.address)
        with pytest.raises(OSError, match="is not the memory of a rank of this run"):
            map_block(json.dumps([str(other), *identity]))


def test_pages_that_are_not_written_take_no_memory():
    with SharedBlock(2**40) as block:
        array = arrays_in(block.memory, [((2**37,), np.float64)])[0]
        array[2**30] = 1.0
        assert os.fstat(int(json.loads(block.address)[0].rpartition("/")[2])).st_blocks < 2**13


def test_a_block_is_gone_after_the_process_that_made_it_was_killed():
    def make(pipe):
        block = SharedBlock(4096)
        pipe.send(block.address)
        pipe.recv()

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=make, args=(there,))
    child.start()
    address = here.recv()
    map_block(address)
    child.kill()
    child.join()
    with pytest.raises(OSError, match="No such file"):
        map_block(address)


def test_a_system_without_such_memory_is_refused(monkeypatch):
    monkeypatch.setattr("lad_mpi.transport.shared_block.sys.platform", "darwin")
    with pytest.raises(OSError, match="darwin has no anonymous memory"):
        SharedBlock(512)
