"""Prepare a rank for the first iteration: data, layout, random streams, messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.attacks import DataAttack
from lad_mpi.columns import SharedColumns
from lad_mpi.compression import Channel, FeedbackCodec, GpuCodec
from lad_mpi.errors import SpecError
from lad_mpi.models import PenalizedModel
from lad_mpi.rng import Purpose, Streams
from lad_mpi.spec import build_model, check_dimension
from lad_mpi.training.holding import hold
from lad_mpi.training.objective import Objective
from lad_mpi.transport import Layout
from lad_mpi.wire import MessageFormat, packing_for, warm_up

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.coding import Assignment
    from lad_mpi.data import Dataset
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link, ServerGroup
    from lad_mpi.types import HostInts
    from lad_mpi.wire import Packing


#: Names of what a device keeps between iterations.
RESIDUALS, MOMENTUM = "residuals", "momentum"

#: Samples times parameters of a small model, and choices of the default of
#: ``logging.evaluate_every`` for larger ones.
_SMALL = 10**5
#: Adding up the gradient of a subset takes as long as the gradients of this many samples.
_TREE = 16
_ROUND = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


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
    objective : Objective
        What is minimised, the same on every rank.
    data_digest, data_reading : str
        What identifies the data, and how they were read; empty if they were drawn.
    data_remark : str
        Why this rank holds a copy of the data of its own; empty if it needs none.
    messages : MessageFormat
        Size and layout of what a device sends.
    received : MessageFormat or None
        Size and layout of what this rank receives from a device as a server; None on others.
    packing : Packing
        Packs and unpacks messages of this rank's devices, on the host or on the GPU.
    servers : ServerGroup or None
        The servers that share columns; None if there is one, and on other ranks.
    byzantine, honest : ndarray of int64, shapes (f,) and (H,)
        Device numbers, ascending.
    """

    spec: Spec
    link: Link
    layout: Layout
    backend: Backend
    streams: Streams
    objective: Objective
    data_digest: str
    data_reading: str
    data_remark: str
    messages: MessageFormat
    received: MessageFormat | None
    packing: Packing
    servers: ServerGroup | None
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

    @cached_property
    def unpacking(self) -> Packing | None:
        """What validates and unpacks received messages; None on ranks that receive none."""
        return None if self.received is None else packing_for(self.received, self.backend)

    @property
    def hosts_devices(self) -> bool:
        """Whether this rank hosts devices."""
        return self.layout.block(self.link.rank)[1] > 0

    @cached_property
    def own_columns(self) -> SharedColumns | None:
        """The columns of this server; None if it holds all."""
        if self.servers is None or self.received is None:
            return None
        return SharedColumns(self.received.columns, self.dimension, self.servers)

    @property
    def dimension(self) -> int:
        """Q, the number of model parameters."""
        return self.objective.dimension

    @cached_property
    def device_states(self) -> tuple[str, ...]:
        """Names of what each device keeps between iterations, one message vector each."""
        codec = self.spec.compression
        corrects = isinstance(codec, FeedbackCodec) and codec.error_feedback
        has_momentum = self.spec.devices.momentum > 0
        return (RESIDUALS,) * corrects + (MOMENTUM,) * has_momentum

    @property
    def is_small(self) -> bool:
        """Whether evaluation takes less time than a collective."""
        samples = self.objective.num_samples + self.objective.num_test_samples
        small = samples * self.objective.dimension <= _SMALL
        return small and len(self.messages.parts) == 1

    def is_evaluated(self, iteration: int) -> bool:
        """Whether an iteration is evaluated: every few ones, and the last."""
        return iteration % self.evaluate_every == 0 or iteration + 1 == self.spec.iterations

    @cached_property
    def evaluate_every(self) -> int:
        """Iterations between two evaluations.

        If the spec leaves it out, a small model is evaluated in every iteration. For others,
        evaluation takes about a quarter of the time that the devices compute, if one rank does
        both, but the run is evaluated at least 20 times.
        """
        if self.spec.logging.evaluate_every is not None:
            return self.spec.logging.evaluate_every
        objective, batch = self.objective, self.spec.devices.batch_size
        if self.is_small:
            return 1
        whole = objective.num_samples / objective.num_subsets
        taken = whole if batch is None else min(batch, whole)
        trained = float(self.assignment(0).loads.sum()) * taken
        # Gradients and measures of all samples, gradients of the batches, measures of the tests.
        evaluated = 1.5 * objective.num_samples + objective.num_test_samples / 2
        trees = 1 + objective.uses_batches
        evaluated += objective.num_subsets * (taken * objective.uses_batches + trees * _TREE)
        wanted = 4 * evaluated / max(1.0, trained)
        most = max(1, self.spec.iterations // 20)
        allowed = [every for every in _ROUND if every <= most]
        return next((every for every in allowed if every >= wanted), allowed[-1])

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

    @property
    def message_dimension(self) -> int:
        """Number of values in a message before compression, Q or a multiple of it."""
        return self.spec.coding.message_parts * self.dimension


def prepare(spec: Spec, link: Link, backend: Backend) -> Setup:
    """Load the data, build the model and draw the Byzantine devices, identically on every rank.

    Raises
    ------
    LadError
        The data cannot be read, the codec does not fit the dimension, or there are more
        ranks than work.
    """
    layout = Layout(spec.devices.count, link.size, spec.server.ranks)
    streams = Streams(spec.seed)
    holding = hold(spec, link, layout, streams, backend.dtype)
    dataset = holding.dataset
    functions = build_model(spec, dataset.form, backend)
    corrupted = None
    if isinstance(spec.attack, DataAttack):
        corrupted = spec.attack.corrupt_targets(dataset.targets, dataset.form.num_classes)
        _check_targets(corrupted, dataset)
    objective = Objective(
        dataset,
        functions,
        backend,
        streams=streams,
        batch_size=spec.devices.batch_size,
        l2=spec.model.l2 if isinstance(spec.model, PenalizedModel) else 0.0,
        corrupted=corrupted,
        held=holding.subsets,
    )
    message_dimension = spec.coding.message_parts * objective.dimension
    check_dimension(spec, message_dimension)
    draw = streams.permutation(Purpose.BYZANTINE, 0, spec.devices.count)
    ranges = spec.server_columns(message_dimension)
    messages = MessageFormat(
        spec.compression,
        message_dimension,
        backend.dtype,
        ranges=ranges,
        in_place=backend.on_host,
    )
    own = [number for number in layout.servers_of(link.rank) if number in ranges]
    setup = Setup(
        spec=spec,
        link=link,
        layout=layout,
        backend=backend,
        streams=streams,
        objective=objective,
        data_digest=dataset.digest,
        data_reading=dataset.reading,
        data_remark=holding.remark,
        messages=messages,
        received=messages.only(own) if own else None,
        packing=packing_for(messages, backend),
        servers=link.servers(len(ranges)) if len(ranges) > 1 else None,
        byzantine=np.sort(draw[: spec.devices.byzantine]),
        honest=np.sort(draw[spec.devices.byzantine :]),
    )
    warm_up(setup.packing, backend, setup.channel(0, 0, 1))
    return setup


def _check_targets(corrupted: Any, dataset: Dataset) -> None:
    targets, classes = dataset.targets, dataset.form.num_classes
    fits = (np.shape(corrupted), np.asarray(corrupted).dtype) == (targets.shape, targets.dtype)
    allowed = (corrupted >= 0) & (corrupted < classes) if classes else np.isfinite(corrupted)
    if not fits or not allowed.all():
        raise SpecError(
            "attack.kind",
            "corrupt_targets must return targets of the same shape, dtype and range of classes, "
            "all of them finite",
        )
