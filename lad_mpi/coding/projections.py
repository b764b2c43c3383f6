"""Random projections of all messages in one pass."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.columns import over_columns, own_columns, total
from lad_mpi.rng import Purpose, unit_interval

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostFloats

#: Projections of every message.
NUM_PROJECTIONS = 8

# Columns a block: the matrix that projects them stays in cache; a GPU wants fewer launches.
_HOST_BLOCK = 1000
_DEVICE_BLOCK = 250_000


def project(
    messages: Array, streams: Streams, iteration: int, *, message_parts: int = 1
) -> npt.NDArray[np.inexact[Any]]:
    r"""Project every message onto a few random directions that no device can predict.

    Parameters
    ----------
    messages : array, shape (N, message_parts · Q)
        Finite messages, one row a device.
    streams : Streams
        The run's random streams.
    iteration : int
        The iteration, so that each has new directions.
    message_parts : {1, 2}
        2 if the first half of each row is the real and the second the imaginary part.

    Returns
    -------
    ndarray of float64 or complex128, shape (N, NUM_PROJECTIONS)
        Rows of messages too large to be projected are not finite.

    Notes
    -----
    Column q is given a weight c_q, uniform in [−1, 1), and columns a block apart
    share their row of a Gaussian matrix G: the projections are
    :math:`\sum_q c_q m_{iq} G_{q \bmod B}`. This takes Q random numbers in place of
    Q times the number of projections, and an error that is not zero still meets a
    projection of zero with probability zero.
    """
    xp = namespace(messages)
    held = messages.shape[1] // message_parts
    dimension = own_columns(messages)[1] // message_parts
    block = min(dimension, _HOST_BLOCK if xp is np else _DEVICE_BLOCK)
    gaussian = streams.generator(Purpose.DECODER, iteration).normal(size=(block, NUM_PROJECTIONS))
    gaussian /= math.sqrt(dimension)
    mixing = xp.asarray(gaussian, dtype=messages.dtype)
    words = streams.words(Purpose.DECODER, iteration, dimension)[0]
    weights = xp.asarray(2.0 * unit_interval(words) - 1.0, dtype=messages.dtype)
    own, _ = own_columns(messages[:, :held])

    def products(columns: slice, offset: int) -> Array:
        found = xp.zeros((len(messages), NUM_PROJECTIONS))
        first, stop = own.start + columns.start, own.start + columns.stop
        while first < stop:
            last = min((first // block + 1) * block, stop)
            row = first % block
            directions = mixing[row : row + last - first] * weights[first:last, None]
            begin = offset + first - own.start
            found += messages[:, begin : begin + last - first] @ directions
            first = last
        return found

    with np.errstate(over="ignore", invalid="ignore"):
        sums = []
        for part in range(message_parts):
            offset = part * held
            own_part = messages[:, offset : offset + held]
            sums.append(total(over_columns(own_part, partial(products, offset=offset))))
        parts: list[HostFloats] = [to_host(part) for part in sums]
        if message_parts == 1:
            return parts[0]
        joined: npt.NDArray[np.complex128] = parts[0] + 1j * parts[1]
        return joined
