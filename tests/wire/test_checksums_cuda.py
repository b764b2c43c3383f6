"""CRC-32 on a GPU equals that of zlib for any length. The host executes the kernel."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cuda_on_host import assert_registers, options_for

from lad_mpi.arrays import open_backend, to_host
from lad_mpi.wire.checksums_cuda import OPTIONS, THREADS, WORDS_A_THREAD, checksums, source

if TYPE_CHECKING:
    from cuda_on_host import Nvrtc

BLOCK_BYTES = 4 * THREADS * WORDS_A_THREAD
# Partial words, blocks that are almost or just over full, and several blocks.
LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, 99, 800, 1024, 4099]
LENGTHS += [BLOCK_BYTES + more for more in (-5, -4, -1, 0, 1, 4)] + [3 * BLOCK_BYTES + 2]


def assert_equals_zlib(host: np.ndarray, start: int) -> None:
    slots = open_backend("cupy", "float64").xp.asarray(host)
    sums = to_host(checksums(slots, start))
    assert sums.dtype == np.uint32
    assert sums.tolist() == [zlib.crc32(row[start:].tobytes()) for row in host]


@pytest.mark.usefixtures("standin_gpu")
class TestChecksums:
    @pytest.mark.parametrize("length", LENGTHS)
    @pytest.mark.parametrize("start", [0, 8])
    def test_equal_those_of_zlib(self, length: int, start: int) -> None:
        """Rows are adjacent in memory, so they start at every offset within a word."""
        draw = np.random.default_rng(length)
        assert_equals_zlib(draw.integers(0, 256, (5, start + length), dtype=np.uint8), start)

    @pytest.mark.parametrize("value", [0, 255])
    def test_of_constants(self, value: int) -> None:
        assert_equals_zlib(np.full((3, BLOCK_BYTES + 40), value, dtype=np.uint8), 8)

    def test_every_flipped_bit_is_found(self) -> None:
        slots = np.tile(np.arange(41, dtype=np.uint8), (1 + 8 * 33, 1))
        for bit in range(8 * 33):
            slots[1 + bit, 8 + bit // 8] ^= np.uint8(1 << (bit % 8))
        sums = to_host(checksums(open_backend("cupy", "float64").xp.asarray(slots), 8))
        assert len(set(sums.tolist())) == len(slots)

    def test_of_no_message(self) -> None:
        assert_equals_zlib(np.empty((0, 40), dtype=np.uint8), 8)


@pytest.mark.parametrize("card", ["sm_70", "sm_80", "sm_90"])
def test_the_kernel_compiles_and_stays_in_registers(card: str, nvrtc: Nvrtc) -> None:
    assert_registers(nvrtc(source(), *options_for(card, OPTIONS)))
