"""One iteration, as every rank runs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.training.clock import Clock, Phase
from lad_mpi.training.overlap import gather_in_slices
from lad_mpi.training.server import count_refusals
from lad_mpi.types import COMMAND_BYTES

if TYPE_CHECKING:
    from lad_mpi.training.device import DeviceBlock
    from lad_mpi.training.server import Server
    from lad_mpi.training.setup import Setup
    from lad_mpi.transport import Exchange
    from lad_mpi.types import Array, HostInts


class Command(IntEnum):
    """What the server tells all ranks with every broadcast."""

    STOP = 0
    CONTINUE = 1
    FLUSH = 2
    CHECKPOINT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What the server saw in an iteration, before its update.

    Parameters
    ----------
    model : array, shape (Q,)
        x, as broadcast.
    messages : array, shape (N, Q)
        Accepted messages; zero where one was refused.
    estimate : array, shape (Q,)
        ĝ.
    refusals : ndarray of int64, shape (reasons,)
        Messages by :class:`~lad_mpi.compression.Rejection`.
    """

    model: Array
    messages: Array
    estimate: Array
    refusals: HostInts


def downlink_bytes(setup: Setup) -> int:
    """Return the size of the broadcast: a command word and the model."""
    return COMMAND_BYTES + setup.problem.dimension * setup.backend.dtype.itemsize


def announce(command: Command, setup: Setup, exchange: Exchange, server: Server | None) -> Command:
    """Broadcast a command and the model; return the command on every rank."""
    word = exchange.downlink[:COMMAND_BYTES].view(np.int64)
    if server is not None:
        word[0] = int(command)
        model = _model_in(setup, exchange)
        if setup.copies_vectors:
            setup.backend.to_host(server.model, model)
        else:
            model[...] = server.model
    setup.backend.synchronize()
    exchange.broadcast()
    return Command(int(word[0]))


def _model_in(setup: Setup, exchange: Exchange) -> Array:
    return exchange.downlink[COMMAND_BYTES:].view(setup.backend.dtype)


def iterate(
    iteration: int,
    setup: Setup,
    exchange: Exchange,
    clock: Clock,
    *,
    server: Server | None,
    devices: DeviceBlock | None,
) -> tuple[Command, Step | None]:
    """Run one iteration; every collective is met once, in the same order, by every rank.

    Parameters
    ----------
    iteration : int
        t.
    setup, exchange, clock
        The run, its planned collectives and this rank's clock.
    server : Server or None
        On rank 0.
    devices : DeviceBlock or None
        On ranks that host devices.

    Returns
    -------
    command : Command
        What the server announced; nothing else was done unless it is CONTINUE.
    step : Step or None
        On the server.
    """
    with clock(Phase.BROADCAST):
        command = announce(Command.CONTINUE, setup, exchange, server)
    if command != Command.CONTINUE:
        return command, None

    if devices is not None:
        model = setup.backend.asarray(_model_in(setup, exchange))
        coded = devices.encode(model, iteration, clock)
        with clock(Phase.ATTACK):
            devices.attack(coded, iteration)
        with clock(Phase.PACK):
            devices.pack(coded, iteration, exchange.uplink)
        with clock(Phase.ATTACK):
            devices.tamper(exchange.uplink, iteration)

    begun = None
    if setup.slices:
        received = gather_in_slices(iteration, setup, exchange, clock, server)
        if server is None or received is None:
            return command, None
        vectors, rejections, begun = received
    else:
        # The clock has waited for the GPU, as MPI does not.
        with clock(Phase.GATHER):
            exchange.gather()
        if server is None or exchange.inbox is None:
            return command, None
        with clock(Phase.UNPACK):
            vectors, rejections = server.receive(exchange.inbox, iteration)
    with clock(Phase.SIMULATE):
        server.simulate(vectors, rejections, iteration)
    with clock(Phase.UNPACK):
        messages = server.deliver(vectors)
    with clock(Phase.AGGREGATE):
        estimate = server.aggregate(messages, iteration, begun)
    before = server.model.copy()
    with clock(Phase.UPDATE):
        server.update(estimate)
    server.check_finite(iteration)
    return command, Step(before, messages, estimate, count_refusals(rejections))
