"""Vectors as rows of numbers on a GPU, for the codecs ``none`` and ``cast``.

Encoding and decoding are one pass over memory each, without large temporaries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lad_mpi.arrays import namespace
from lad_mpi.compression.base import Rejection
from lad_mpi.compression.cuda.launch import as_bits, launch, parts, program, raised, refuse

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostInts

Format = Literal["whole", "float16", "bfloat16"]

_FORMATS: dict[Format, int] = {"whole": 0, "float16": 1, "bfloat16": 2}


def encode(vectors: Array, payloads: Array, number_format: Format) -> None:
    """Write every coordinate in a format, rounded to nearest.

    Parameters
    ----------
    vectors : CuPy array, shape (n, Q), float32 or float64
    payloads : CuPy array of uint8, shape (n, bytes of Q numbers)
        Receives all bytes.
    number_format : {"whole", "float16", "bfloat16"}
        "whole" is the dtype of the vectors.
    """
    num_rows, dimension = vectors.shape
    launch(
        namespace(vectors),
        program(vectors.dtype, "numbers", FORMAT=_FORMATS[number_format]),
        "pack_numbers",
        num_rows * parts(dimension),
        *as_bits(vectors),
        dimension,
        payloads,
        payloads.strides[0],
    )


def decode(payloads: Array, channel: Channel, number_format: Format) -> tuple[Array, HostInts]:
    """Undo :func:`encode`, and refuse what is not finite; see :meth:`GpuCodec.decode_on_gpu`."""
    xp, num_rows = namespace(payloads), len(payloads)
    vectors = xp.empty((num_rows, channel.dimension), dtype=channel.dtype)
    flags = xp.zeros((num_rows, 1), dtype=np.int32)
    launch(
        xp,
        program(channel.dtype, "numbers", FORMAT=_FORMATS[number_format]),
        "unpack_numbers",
        num_rows * parts(channel.dimension),
        payloads,
        payloads.strides[0],
        channel.dimension,
        as_bits(vectors)[0],
        flags,
    )
    (not_finite,) = raised(flags)
    return refuse(vectors, (not_finite, Rejection.NOT_FINITE))
