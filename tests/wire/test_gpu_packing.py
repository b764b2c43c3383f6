"""Packing and unpacking on a GPU gives the same messages and rejections as on the host.

The host executes the kernels, with a fake CuPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lad_mpi.arrays import namespace, open_backend, to_host
from lad_mpi.attacks import ATTACKS, AttackContext
from lad_mpi.compression import CODECS, Channel, Rejection
from lad_mpi.rng import Streams
from lad_mpi.wire import MessageFormat, packing_for, warm_up
from lad_mpi.wire.gpu_packing import GpuPacking

if TYPE_CHECKING:
    from collections.abc import Callable

    from lad_mpi.arrays import DtypeName
    from lad_mpi.compression import Codec

pytestmark = pytest.mark.usefixtures("standin_gpu")

N, Q, FIRST = 12, 37, 5
PARAMETERS: dict[str, dict[str, Any]] = {
    "rand_k": {"k": 9},
    "top_k": {"k": 9},
    "qsgd": {"levels": 5},
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> DtypeName:
    name: DtypeName = request.param
    return name


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param](**PARAMETERS.get(request.param, {}))


def channel_for(dtype: DtypeName, iteration: int = 3) -> Channel:
    return Channel(Streams(1), iteration, FIRST, N, Q, np.dtype(dtype))


def vectors_for(dtype: DtypeName) -> np.ndarray:
    """Return vectors whose norms and mean magnitudes are exact in any order of summation."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(N, Q))
    # One row of zeros, and rows of a single magnitude.
    return (signs * np.r_[0.0, 2.0 ** np.arange(N - 1)][:, None]).astype(dtype)


def pack_on_both(codec: Codec, dtype: DtypeName) -> tuple[Any, Any, np.ndarray, Any]:
    """Return both packings, and the slots that each of them has overwritten."""
    messages = MessageFormat(codec, Q, np.dtype(dtype))
    backend = open_backend("cupy", dtype)
    packing = packing_for(messages, backend)
    slots = np.full((N, messages.slot_bytes), 170, dtype=np.uint8)
    device_slots = backend.xp.asarray(slots)
    vectors = vectors_for(dtype)
    messages.pack(vectors, channel_for(dtype), slots)
    packing.pack(backend.asarray(vectors), channel_for(dtype), device_slots)
    return messages, packing, slots, device_slots


def test_messages_are_those_of_the_host(codec: Codec, dtype: DtypeName) -> None:
    _, _, slots, device_slots = pack_on_both(codec, dtype)
    np.testing.assert_array_equal(to_host(device_slots), slots)


def test_messages_are_unpacked_as_on_the_host(codec: Codec, dtype: DtypeName) -> None:
    messages, packing, slots, device_slots = pack_on_both(codec, dtype)
    expected, _ = messages.unpack(slots, channel_for(dtype))
    vectors, rejections = packing.unpack(device_slots, channel_for(dtype))
    np.testing.assert_array_equal(to_host(vectors), expected)
    assert rejections.dtype == np.int64
    assert not rejections.any()


@pytest.mark.parametrize("attack", ["mutate", "random_bytes"])
def test_hostile_messages_are_refused_for_the_reasons_of_the_host(
    codec: Codec, dtype: DtypeName, attack: str
) -> None:
    messages, packing, slots, _ = pack_on_both(codec, dtype)
    channel, reasons, xp = channel_for(dtype), set(), open_backend("cupy", dtype).xp
    for iteration in range(25):
        context = AttackContext(Streams(2), iteration, np.arange(N), N, N - 1, slots)
        hostile = ATTACKS[attack]().tamper(slots, messages, context)
        expected, rejections = messages.unpack(hostile, channel)
        vectors, found = packing.unpack(xp.asarray(hostile), channel)
        np.testing.assert_array_equal(found, rejections)
        np.testing.assert_array_equal(to_host(vectors), expected)
        reasons |= {Rejection(reason) for reason in found}
    if attack == "mutate":
        assert len(reasons) > 6


@pytest.mark.parametrize("is_codec_on_gpu", [True, False])
def test_slots_on_the_host_hold_the_same_messages(
    codec: Codec, dtype: DtypeName, is_codec_on_gpu: bool, take_off_gpu: Callable[[type], None]
) -> None:
    if not is_codec_on_gpu:
        take_off_gpu(type(codec))
    messages = MessageFormat(codec, Q, np.dtype(dtype))
    backend, channel, vectors = open_backend("cupy", dtype), channel_for(dtype), vectors_for(dtype)
    packing = packing_for(messages, backend)
    assert isinstance(packing, GpuPacking) == is_codec_on_gpu
    expected, slots = messages.new_slots(N), messages.new_slots(N)
    messages.pack(vectors, channel, expected)
    packing.pack(backend.asarray(vectors), channel, slots)
    np.testing.assert_array_equal(slots, expected)
    slots[3] ^= 1
    found, rejections = packing.unpack(slots, channel)
    assert namespace(found) is backend.xp
    wanted, reasons = messages.unpack(slots, channel)
    np.testing.assert_array_equal(to_host(found), wanted)
    np.testing.assert_array_equal(rejections, reasons)
    assert reasons[3]


def test_a_codec_of_the_host_cannot_pack_on_a_gpu(take_off_gpu: Callable[[type], None]) -> None:
    codec = CODECS["sign"]()
    take_off_gpu(CODECS["sign"])
    messages = MessageFormat(codec, Q, np.dtype("float32"))
    backend = open_backend("cupy", "float32")
    with pytest.raises(TypeError, match="'sign' cannot be packed on a GPU"):
        GpuPacking(messages, backend.xp)


def test_a_rank_without_devices_packs_nothing(codec: Codec) -> None:
    messages = MessageFormat(codec, Q, np.dtype("float32"))
    backend = open_backend("cupy", "float32")
    packing = packing_for(messages, backend)
    channel = Channel(Streams(1), 0, 0, 0, Q, np.dtype("float32"))
    slots = packing.new_slots(0)
    packing.pack(backend.xp.zeros((0, Q), dtype=np.float32), channel, slots)
    vectors, rejections = packing.unpack(slots, channel)
    assert vectors.shape == (0, Q)
    assert rejections.shape == (0,)


def test_warming_up_works_where_messages_are_packed(codec: Codec, dtype: DtypeName) -> None:
    messages = MessageFormat(codec, Q, np.dtype(dtype))
    backend = open_backend("cupy", dtype)
    warm_up(packing_for(messages, backend), backend, channel_of_one(dtype))


def channel_of_one(dtype: DtypeName) -> Channel:
    return Channel(Streams(1), 0, 0, 1, Q, np.dtype(dtype))


@pytest.mark.parametrize("is_codec_on_gpu", [True, False])
def test_what_is_reserved_is_not_allocated_again(
    codec: Codec,
    dtype: DtypeName,
    is_codec_on_gpu: bool,
    take_off_gpu: Callable[[type], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_codec_on_gpu:
        take_off_gpu(type(codec))
    messages, backend = MessageFormat(codec, Q, np.dtype(dtype)), open_backend("cupy", dtype)
    packing = packing_for(messages, backend)
    packing.reserve(N, slots_on_host=True)
    monkeypatch.setattr(type(backend), "host_buffer", None)
    monkeypatch.setattr(GpuPacking, "new_slots", None)
    slots = messages.new_slots(N)
    packing.pack(backend.asarray(vectors_for(dtype)), channel_for(dtype), slots)
    assert not packing.unpack(slots, channel_for(dtype))[1].any()
