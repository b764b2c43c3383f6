"""Any change of a message is refused for the right reason, and no message raises."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi.compression import CODECS, Channel, Rejection
from lad_mpi.rng import Streams
from lad_mpi.wire import HEADER_BYTES, MessageFormat

N, Q = 5, 13
PARAMETERS = {"rand_k": {"k": 4}, "top_k": {"k": 4}, "qsgd": {"levels": 3}}


def channel(iteration=6, rows=None, dtype="float64"):
    return Channel(Streams(1), iteration, 10, N, Q, np.dtype(dtype), rows)


@pytest.fixture(params=sorted(CODECS))
def messages(request):
    codec = CODECS[request.param](**PARAMETERS.get(request.param, {}))
    return MessageFormat(codec, Q, np.dtype("float64"))


@pytest.fixture
def packed(messages):
    vectors = np.random.default_rng(0).normal(size=(N, Q))
    slots = np.zeros((N, messages.slot_bytes), dtype=np.uint8)
    messages.pack(vectors, channel(), slots)
    return slots


def test_the_header_is_32_bytes_and_laid_out_as_documented(messages, packed):
    assert HEADER_BYTES == 32
    assert messages.slot_bytes == 32 + messages.payload_bytes
    magic, checksum, version, _, part, device, iteration, length = struct.unpack(
        "<4sIBBHIQQ", packed[2, :32].tobytes()
    )
    assert (magic, version, part) == (b"LADM", 1, 0)
    assert (device, iteration, length) == (12, 6, messages.payload_bytes)
    assert checksum == zlib.crc32(packed[2, 8:].tobytes())


def test_what_was_packed_is_accepted_and_left_alone(messages, packed):
    before = packed.copy()
    vectors, rejections = messages.unpack(packed, channel())
    assert (rejections == Rejection.NONE).all()
    assert vectors.any(axis=1).all()
    np.testing.assert_array_equal(packed, before)


REASONS = (
    [Rejection.MAGIC] * 4
    + [Rejection.CHECKSUM] * 4
    + [Rejection.VERSION, Rejection.CODEC, Rejection.PART, Rejection.PART]
    + [Rejection.DEVICE] * 4
    + [Rejection.ITERATION] * 8
    + [Rejection.LENGTH] * 8
)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(("byte", "expected"), list(enumerate(REASONS)))
def test_any_changed_header_byte_is_refused_by_its_name_and_only_that_message(
    messages, packed, byte, expected, sealed
):
    if sealed:
        # Seal the forged message, unless the forged field is the checksum itself.
        packed[1, byte] ^= 0x40
        messages.seal(packed)
        packed[1, byte] ^= 0x40 if expected == Rejection.CHECKSUM else 0
    else:
        packed[1, byte] ^= 0x40
    vectors, rejections = messages.unpack(packed, channel())
    assert rejections.tolist() == [0, expected, 0, 0, 0]
    assert not vectors[1].any()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_payload_bit_is_refused(data):
    kind = data.draw(st.sampled_from(sorted(CODECS)))
    messages = MessageFormat(CODECS[kind](**PARAMETERS.get(kind, {})), Q, np.dtype("float64"))
    slots = np.zeros((N, messages.slot_bytes), dtype=np.uint8)
    messages.pack(np.random.default_rng(0).normal(size=(N, Q)), channel(), slots)
    row = data.draw(st.integers(0, N - 1))
    bit = data.draw(st.integers(8 * HEADER_BYTES, 8 * messages.slot_bytes - 1))
    slots[row, bit // 8] ^= 1 << (bit % 8)
    _, rejections = messages.unpack(slots, channel())
    assert rejections[row] == Rejection.CHECKSUM
    assert (np.delete(rejections, row) == Rejection.NONE).all()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_bytes_neither_raise_nor_pass(data):
    kind = data.draw(st.sampled_from(sorted(CODECS)))
    messages = MessageFormat(CODECS[kind](**PARAMETERS.get(kind, {})), Q, np.dtype("float64"))
    raw = data.draw(st.binary(min_size=messages.slot_bytes, max_size=messages.slot_bytes))
    slots = np.tile(np.frombuffer(raw, dtype=np.uint8), (N, 1))
    vectors, rejections = messages.unpack(slots, channel())
    assert (rejections != Rejection.NONE).all()
    assert not vectors.any()


def test_a_replayed_message_is_refused(messages, packed):
    _, rejections = messages.unpack(packed, channel(iteration=7))
    assert (rejections == Rejection.ITERATION).all()


def test_a_message_under_another_devices_name_is_refused(messages, packed):
    packed[[0, 1]] = packed[[1, 0]]
    _, rejections = messages.unpack(packed, channel())
    assert rejections.tolist() == [Rejection.DEVICE, Rejection.DEVICE, 0, 0, 0]


def test_a_choice_of_devices_is_packed_as_in_the_whole_block(messages, packed):
    rows = np.array([1, 4])
    vectors = np.random.default_rng(0).normal(size=(N, Q))[rows]
    slots = np.zeros((2, messages.slot_bytes), dtype=np.uint8)
    messages.pack(vectors, channel(rows=rows), slots)
    np.testing.assert_array_equal(slots, packed[rows])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_can_be_sent_but_not_received(messages, poison):
    vectors = np.random.default_rng(0).normal(size=(N, Q))
    vectors[3] = poison
    slots = np.zeros((N, messages.slot_bytes), dtype=np.uint8)
    messages.pack(vectors, channel(), slots)
    decoded, rejections = messages.unpack(slots, channel())
    assert rejections[3] == Rejection.NOT_FINITE
    assert (np.delete(rejections, 3) == Rejection.NONE).all()
    assert np.isfinite(decoded).all()


def test_the_reasons_are_part_of_the_logs_format():
    assert [(reason.name, int(reason)) for reason in Rejection] == [
        ("NONE", 0),
        ("MAGIC", 1),
        ("VERSION", 2),
        ("CODEC", 3),
        ("DEVICE", 4),
        ("ITERATION", 5),
        ("LENGTH", 6),
        ("CHECKSUM", 7),
        ("NOT_FINITE", 8),
        ("INDEX", 9),
        ("LEVEL", 10),
        ("SCALE", 11),
        ("PADDING", 12),
        ("PART", 13),
    ]


def test_of_several_faults_the_first_in_the_order_of_the_checks_is_named(messages, packed):
    order = ["magic", "version", "codec", "device", "iteration", "length", "part"]
    packed[:, :32] ^= 0xFF
    correct = np.zeros_like(packed)
    messages.pack(np.zeros((N, Q)), channel(), correct)
    for name in order:
        _, rejections = messages.unpack(packed, channel())
        assert (rejections == Rejection[name.upper()]).all(), name
        packed[:, messages.fields[name]] = correct[:, messages.fields[name]]
    _, rejections = messages.unpack(packed, channel())
    assert (rejections == Rejection.CHECKSUM).all()


def test_the_fields_cover_the_slot_without_gap_or_overlap(messages):
    covered = np.zeros(messages.slot_bytes, dtype=int)
    for field in messages.fields.values():
        covered[field] += 1
    assert (covered == 1).all()


def test_warming_up_leaves_nothing_to_import_or_compile():
    code = """
import sys
import numpy as np
from lad_mpi.arrays import open_backend
from lad_mpi.compression import CODECS, Channel
from lad_mpi.rng import Streams
from lad_mpi.wire import MessageFormat, warm_up

kind, parameters, dtype = sys.argv[1], eval(sys.argv[2]), np.dtype(sys.argv[3])
messages = MessageFormat(CODECS[kind](**parameters), 13, dtype)
warm_up(messages, open_backend("numpy", dtype.name), Channel(Streams(1), 0, 0, 1, 13, dtype))
modules = set(sys.modules)
compiled = kind in {"qsgd", "rand_k", "natural"}
assert ("numba" in modules) == compiled


def kernels():
    if not compiled:
        return {}
    contents = vars(sys.modules["lad_mpi.compression.kernels"])
    return {k: list(v.signatures) for k, v in contents.items() if hasattr(v, "signatures")}


before = kernels()
assert any(before.values()) == compiled
slots = np.zeros((5, messages.slot_bytes), dtype=np.uint8)
channel = Channel(Streams(1), 6, 0, 5, 13, dtype)
messages.pack(np.ones((5, 13), dtype=dtype), channel, slots)
_, rejections = messages.unpack(slots, channel)
assert not rejections.any()
rows = Channel(Streams(1), 6, 0, 5, 13, dtype, np.array([1, 3]))
messages.pack(np.ones((2, 13), dtype=dtype), rows, slots[:2])
messages.unpack(slots[:2], rows)
assert set(sys.modules) == modules
assert kernels() == before
"""
    for kind in CODECS:
        arguments = [kind, repr(PARAMETERS.get(kind, {})), "float32"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{kind}: {done.stderr}"
