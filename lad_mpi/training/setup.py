"""Prepare a rank for the first iteration: data, layout, random streams, messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation.columns import column_slices
from lad_mpi.compression import Channel, FeedbackCodec, GpuCodec
from lad_mpi.rng import Purpose, Streams
from lad_mpi.spec import check_data, check_dimension
from lad_mpi.transport import Layout
from lad_mpi.wire import MessageFormat, packing_for, warm_up

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.coding import Assignment
    from lad_mpi.data import ProblemData
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link
    from lad_mpi.types import HostInts
    from lad_mpi.wire import Packing


#: Nothing overlaps with the arrival of the first slice or the work on the last. With eight
#: slices that is an eighth of each.
_MOST_SLICES = 8


@dataclass(frozen=True, eq=False)
class Setup:
    """The objects of a run on one rank.

    Attributes
    ----------
    spec : Spec
        The run.
    link : Link
        This rank and its connections.
    layout : Layout
        Which rank hosts which devices.
    backend : Backend
        Array library, dtype and device.
    streams : Streams
        All random streams.
    problem : ProblemData
        The data, the same on every rank.
    messages : MessageFormat
        Size and layout of a message.
    packing : Packing
        Packs and unpacks messages, on the host or on the GPU.
    byzantine, honest : ndarray of int64, shapes (f,) and (H,)
        Device numbers, ascending.
    """

    spec: Spec
    link: Link
    layout: Layout
    backend: Backend
    streams: Streams
    problem: ProblemData
    messages: MessageFormat
    packing: Packing
    byzantine: HostInts
    honest: HostInts
    _assignments: dict[int, Assignment] = field(default_factory=dict, repr=False)

    def assignment(self, iteration: int) -> Assignment:
        """Return the assignment of an iteration. The last one is cached for this rank."""
        key = iteration if self.spec.coding.varies else 0
        if key not in self._assignments:
            self._assignments.clear()
            self._assignments[key] = self.spec.coding.assign(
                self.spec.devices.count, self.spec.devices.num_byzantine, self.streams, key
            )
        return self._assignments[key]

    @property
    def has_residuals(self) -> bool:
        """Whether devices keep residuals for error feedback."""
        codec = self.spec.compression
        return isinstance(codec, FeedbackCodec) and codec.error_feedback

    def channel(
        self, iteration: int, first: int, count: int, rows: HostInts | None = None
    ) -> Channel:
        """Return the channel of a block of devices: what sender and receiver both know."""
        return Channel(
            self.streams, iteration, first, count, self.message_dimension, self.backend.dtype, rows
        )

    @property
    def sends_from_gpu(self) -> bool:
        """Whether messages stay in GPU memory.

        MPI sends them from there; with a single process there is nothing to send.
        """
        if self.backend.on_host or not isinstance(self.spec.compression, GpuCodec):
            return False
        return self.link.size == 1 or self.spec.backend.gpu_transfers == "direct"

    @cached_property
    def slices(self) -> list[slice]:
        """Column ranges in which messages are gathered; empty for a gather in one piece.

        Short messages are gathered in one piece, because a slice has at least the number
        of columns that rules process at a time.
        """
        if not (self.spec.overlap and self.messages.in_columns and self.backend.on_host):
            return []
        count, itemsize = self.spec.devices.count, self.backend.dtype.itemsize
        slices = column_slices(count, self.message_dimension, itemsize, _MOST_SLICES)
        return slices if len(slices) > 1 else []

    @property
    def message_dimension(self) -> int:
        """Number of values in a message before compression, Q or a multiple of it."""
        return self.spec.coding.message_parts * self.problem.dimension


def prepare(spec: Spec, link: Link, backend: Backend) -> Setup:
    """Load the data and draw the Byzantine devices, identically on every rank.

    Raises
    ------
    LadError
        The data cannot be read, the codec does not fit the dimension, or there are more
        ranks than work.
    """
    layout = Layout(spec.devices.count, link.size)
    streams = Streams(spec.seed)
    problem = spec.problem.load(spec.devices.count, streams, backend)
    check_data(spec, problem)
    message_dimension = spec.coding.message_parts * problem.dimension
    check_dimension(spec, message_dimension)
    draw = streams.permutation(Purpose.BYZANTINE, 0, spec.devices.count)
    messages = MessageFormat(spec.compression, message_dimension, backend.dtype)
    setup = Setup(
        spec=spec,
        link=link,
        layout=layout,
        backend=backend,
        streams=streams,
        problem=problem,
        messages=messages,
        packing=packing_for(messages, backend),
        byzantine=np.sort(draw[: spec.devices.byzantine]),
        honest=np.sort(draw[spec.devices.byzantine :]),
    )
    warm_up(setup.packing, backend, setup.channel(0, 0, 1))
    return setup
