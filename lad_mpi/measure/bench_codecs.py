"""How fast codecs turn vectors into messages and back, compared with a copy of the vectors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import copy_array, open_backend
from lad_mpi.compression import (
    CODECS,
    Cast,
    Channel,
    Natural,
    NoCompression,
    Qsgd,
    RandK,
    Sign,
    TopK,
)
from lad_mpi.errors import ParameterError
from lad_mpi.measure.timing import measure_times
from lad_mpi.rng import Streams
from lad_mpi.wire import MessageFormat, packing_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lad_mpi.arrays import Backend, BackendKind, DtypeName
    from lad_mpi.compression import Codec
    from lad_mpi.measure.timing import Timing

_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class CodecTiming:
    """Wall times of one codec.

    Parameters
    ----------
    encode, decode : Timing
        From vectors to messages with checksums, and from messages to checked vectors.
    payload_bytes : int
        Size of one message without its header.
    """

    encode: Timing
    decode: Timing
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class CodecBench:
    """Times of codecs on one block of vectors.

    Parameters
    ----------
    num_devices, dimension : int
        Number of vectors, and Q.
    dtype : {"float32", "float64"}
        Dtype of the vectors.
    device_name : str
        Model of the GPU, or ``"cpu"``.
    copy : Timing
        A copy of the vectors to another array.
    crossing : Timing or None
        A copy from the GPU to pinned memory of the host; None without a GPU.
    codecs : dict of str to CodecTiming
        By kind and parameters, such as ``"rand_k k=100000"``.
    """

    num_devices: int
    dimension: int
    dtype: DtypeName
    device_name: str
    copy: Timing
    crossing: Timing | None
    codecs: dict[str, CodecTiming]

    @property
    def vector_bytes(self) -> int:
        """Bytes of all vectors, which speeds refer to."""
        return self.num_devices * self.dimension * np.dtype(self.dtype).itemsize

    def speed(self, timing: Timing) -> float:
        """Return the bytes of the vectors over the median time, in GB/s."""
        return self.vector_bytes / timing.median_s / _GIGA


def bench_codecs(
    num_devices: int,
    dimension: int,
    *,
    dtype: DtypeName = "float32",
    backend: BackendKind = "numpy",
    repeats: int = 7,
    kinds: Sequence[str] | None = None,
) -> CodecBench:
    """Time codecs on normal numbers, on one thread or a GPU, with headers and checksums.

    Parameters
    ----------
    num_devices, dimension : int
        Number of vectors, and Q.
    dtype : {"float32", "float64"}
        Dtype of the vectors.
    backend : {"numpy", "cupy"}
        Where the vectors are, and are packed and unpacked.
    repeats : int
        Number of timed calls of each codec, after one for warm-up.
    kinds : sequence of str, optional
        Codecs to time (default: all of the suite).

    Raises
    ------
    ParameterError
        A size is not positive, or a kind is unknown.
    BackendError
        There is no GPU.
    """
    sizes = {"num_devices": num_devices, "dimension": dimension, "repeats": repeats}
    for name, size in sizes.items():
        if size < 1:
            raise ParameterError(name, f"must be at least 1, not {size}")
    chosen = list(CODECS) if kinds is None else list(kinds)
    for kind in chosen:
        if kind not in CODECS:
            raise ParameterError(
                "codecs", f"unknown kind {kind!r}", hint=f"known: {', '.join(sorted(CODECS))}"
            )
    examples = [codec for codec in _examples(dimension) if codec.kind in chosen]
    opened = open_backend(backend, dtype)
    formats = {_named(codec): MessageFormat(codec, dimension, opened.dtype) for codec in examples}
    calls = _calls(formats, opened, (num_devices, dimension))
    times = measure_times({name: _ended(call, opened) for name, call in calls.items()}, repeats)
    return CodecBench(
        num_devices=num_devices,
        dimension=dimension,
        dtype=dtype,
        device_name=opened.device_name,
        copy=times["copy"],
        crossing=times.get("crossing"),
        codecs={
            name: CodecTiming(
                times[f"encode {name}"], times[f"decode {name}"], messages.payload_bytes
            )
            for name, messages in formats.items()
        },
    )


def _calls(
    formats: Mapping[str, MessageFormat], backend: Backend, shape: tuple[int, int]
) -> dict[str, Callable[[], object]]:
    """Return the calls to time: copies of the vectors, and packing and unpacking by each codec."""
    xp, dtype, (num_devices, dimension) = backend.xp, backend.dtype, shape
    normal = np.random.default_rng(0).standard_normal(shape, dtype=dtype.type)
    vectors = backend.asarray(normal)
    channel = Channel(Streams(0), 0, 0, num_devices, dimension, dtype)
    calls: dict[str, Callable[[], object]] = {
        "copy": partial(xp.copyto, xp.empty_like(vectors), vectors)
    }
    if not backend.on_host:
        pinned = backend.host_buffer(shape, dtype)
        calls["crossing"] = partial(copy_array, vectors, pinned)
    for name, messages in formats.items():
        packing = packing_for(messages, backend)
        slots = packing.new_slots(num_devices)
        # Encode first: decoding needs the messages.
        calls[f"encode {name}"] = partial(packing.pack, vectors, channel, slots)
        calls[f"decode {name}"] = partial(packing.unpack, slots, channel)
    return calls


def _ended(call: Callable[[], object], backend: Backend) -> Callable[[], object]:
    """Return a call that also waits for the GPU."""

    def both() -> None:
        call()
        backend.synchronize()

    return call if backend.on_host else both


def _examples(dimension: int) -> list[Codec]:
    """Return codecs of every kind, with several values of the parameters that decide the speed."""
    tenth, half = max(1, dimension // 10), max(1, dimension // 2)
    return [
        NoCompression(),
        *(RandK(k) for k in sorted({tenth, half})),
        *(Qsgd(levels, bucket) for levels in (1, 7, 127) for bucket in (None, 4096)),
        TopK(tenth),
        Sign(),
        Sign(bucket=4096),
        Cast("bfloat16"),
        Cast("float16"),
        Natural(),
    ]


def _named(codec: Codec) -> str:
    """Return the kind and parameters of a codec, without error feedback, which is not timed."""
    if not dataclasses.is_dataclass(codec):
        return codec.kind
    values = [
        f"{field.name}={getattr(codec, field.name)}"
        for field in dataclasses.fields(codec)
        if field.name != "error_feedback" and getattr(codec, field.name) is not None
    ]
    return " ".join([codec.kind, *values])
