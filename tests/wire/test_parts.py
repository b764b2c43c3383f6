"""Messages to several servers: parts of a payload, each with a header of its own."""

import numpy as np
import pytest

from lad_mpi.compression import CODECS, Channel, NoCompression, Rejection, column_codec
from lad_mpi.rng import Streams
from lad_mpi.wire import HEADER_BYTES, MessageFormat

N, Q = 5, 2 * 4096 + 3
RANGES = {0: slice(0, 4096), 1: slice(4096, 8192), 2: slice(8192, Q)}
BUCKET = {"bucket": 4096}
PARAMETERS = {
    "rand_k": {"k": 4},
    "top_k": {"k": 4},
    "qsgd": {"levels": 3, **BUCKET},
    "sign": BUCKET,
}
CUT = sorted(kind for kind in CODECS if column_codec(CODECS[kind](**PARAMETERS.get(kind, {}))))
WHOLE = sorted(CODECS.keys() - set(CUT))


def make(kind, dtype="float64", ranges=RANGES, *, in_place=False):
    codec = CODECS[kind](**PARAMETERS.get(kind, {}))
    return MessageFormat(codec, Q, np.dtype(dtype), ranges=ranges, in_place=in_place)


def channel(dtype="float64", rows=None):
    return Channel(Streams(1), 6, 10, N, Q, np.dtype(dtype), rows)


def normal(dtype="float64"):
    return np.random.default_rng(0).normal(size=(N, Q)).astype(dtype)


def sent(messages, slots, number):
    """Return the slots of a server after the gather."""
    server = messages.only([number])
    received = server.new_slots(len(slots))
    bytes_of = [slots[:, block] for block in messages.parts[number].blocks]
    (block,) = server.parts[0].blocks
    received[:, block] = np.concatenate(bytes_of, axis=1)
    return server, received


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", CUT)
def test_servers_decode_the_columns_of_the_whole_message(kind, dtype, in_place):
    messages, whole = make(kind, dtype, in_place=in_place), make(kind, dtype, None)
    slots, reference = messages.new_slots(N), whole.new_slots(N)
    messages.pack(normal(dtype), channel(dtype), slots)
    whole.pack(normal(dtype), channel(dtype), reference)
    expected, _ = whole.unpack(reference, channel(dtype))
    together, rejections = messages.unpack(slots, channel(dtype))
    assert not rejections.any()
    np.testing.assert_array_equal(together, expected)
    for number, columns in RANGES.items():
        server, received = sent(messages, slots, number)
        vectors, rejections = server.unpack(received, channel(dtype))
        assert not rejections.any()
        np.testing.assert_array_equal(vectors, expected[:, columns])
    assert messages.payload_bytes == whole.payload_bytes
    assert messages.message_bytes == whole.payload_bytes + 3 * HEADER_BYTES


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", CUT)
def test_a_server_packs_its_columns_to_the_bytes_that_devices_send(kind, in_place):
    """Vectors of simulated attacks are made on the servers."""
    messages = make(kind, in_place=in_place)
    slots = messages.new_slots(N)
    messages.pack(normal(), channel(), slots)
    for number, columns in RANGES.items():
        server, received = sent(messages, slots, number)
        packed = server.new_slots(N)
        server.pack(normal()[:, columns], channel(), packed)
        np.testing.assert_array_equal(packed, received)


@pytest.mark.parametrize("kind", WHOLE)
def test_other_codecs_are_refused(kind):
    with pytest.raises(TypeError, match="cannot be cut by columns"):
        make(kind)


@pytest.mark.parametrize("kind", CUT)
def test_a_part_for_another_server_is_refused(kind):
    messages = make(kind)
    slots = messages.new_slots(N)
    messages.pack(normal(), channel(), slots)
    first, second = messages.parts[:2]
    slots[2, first.header] = slots[2, second.header]
    slots[2, first.payload] = slots[2, second.payload]
    _, rejections = messages.unpack(slots, channel())
    assert rejections.tolist() == [0, 0, Rejection.PART, 0, 0]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", CUT)
def test_the_first_part_that_is_refused_gives_the_reason(kind, in_place):
    messages = make(kind, in_place=in_place)
    slots = messages.new_slots(N)
    messages.pack(normal(), channel(), slots)
    slots[1, messages.parts[1].payload.start] ^= 1
    slots[1, messages.parts[2].header.start] ^= 1
    slots[3, messages.parts[2].header.start + 12] ^= 1
    vectors, rejections = messages.unpack(slots, channel())
    assert rejections.tolist() == [0, Rejection.CHECKSUM, 0, Rejection.DEVICE, 0]
    assert not vectors[[1, 3]].any()
    assert vectors[[0, 2, 4]].any(axis=1).all()


@pytest.mark.parametrize("ranges", [None, RANGES])
@pytest.mark.parametrize("kind", CUT)
def test_the_message_to_one_server_is_joined_and_cut_with_its_faults(kind, ranges):
    messages, whole = make(kind, ranges=ranges), make(kind, ranges=None)
    slots, reference = messages.new_slots(N), whole.new_slots(N)
    messages.pack(normal(), channel(), slots)
    whole.pack(normal(), channel(), reference)
    joined = messages.joined(slots, channel())
    np.testing.assert_array_equal(joined, reference)
    np.testing.assert_array_equal(messages.cut(joined, channel()), slots)
    joined[1, 12] ^= 1
    joined[2, 5] ^= 1
    joined[3, -1] ^= 0x40
    joined[4] = 0
    cut = messages.cut(joined, channel())
    _, rejections = messages.unpack(cut, channel())
    reasons = [0, Rejection.DEVICE, Rejection.CHECKSUM, Rejection.CHECKSUM, Rejection.MAGIC]
    assert rejections.tolist() == reasons
    assert whole.unpack(joined, channel())[1].tolist() == reasons
    for part in messages.parts:
        server, received = sent(messages, cut, part.number)
        assert server.unpack(received, channel())[1].tolist() == reasons


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [3, Q, 300_001])
def test_vectors_lie_in_the_slots_aligned_and_are_checked_there(size, dtype):
    messages = MessageFormat(NoCompression(), size, np.dtype(dtype), in_place=True)
    wire = Channel(Streams(1), 6, 10, N, size, np.dtype(dtype))
    slots = messages.new_slots(N)
    vectors = messages.vectors(slots)
    assert all(row.ctypes.data % 64 == 0 for row in vectors)
    vectors[...] = np.random.default_rng(0).normal(size=(N, size))
    vectors[0] = np.finfo(dtype).max
    vectors[2, -1], vectors[3, 0] = np.inf, np.nan
    expected = vectors.copy()
    messages.pack(None, wire, slots)
    found, rejections = messages.unpack(slots, wire)
    assert np.shares_memory(found, slots)
    assert rejections.tolist() == [0, 0, Rejection.NOT_FINITE, Rejection.NOT_FINITE, 0]
    expected[[2, 3]] = 0
    np.testing.assert_array_equal(found, expected)
    _, rejections = messages.unpack(slots, wire)
    assert rejections[2:4].tolist() == [Rejection.CHECKSUM] * 2


def test_a_message_may_be_longer_than_2_to_the_31_bytes():
    """The layout needs no memory."""
    size = 2**29 + 5
    messages = MessageFormat(NoCompression(), size, np.dtype("float64"), in_place=True)
    assert messages.message_bytes == 32 + 8 * size
    halves = {0: slice(0, 2**28), 1: slice(2**28, size)}
    messages = MessageFormat(
        NoCompression(), size, np.dtype("float64"), ranges=halves, in_place=True
    )
    assert messages.parts[1].payload.stop == 64 + 8 * size
    headers = messages.headers(Channel(Streams(1), 0, 0, 1, size, np.dtype("float64")))
    assert int.from_bytes(headers[0, 24:32].tobytes(), "little") == 8 * 2**28
