"""Run the iterations of a run, synchronously on all ranks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import copy_array, to_host
from lad_mpi.errors import RunFailedError
from lad_mpi.training.checkpoint import ArrayLayout
from lad_mpi.training.clock import Clock, Phase
from lad_mpi.training.device import DeviceBlock
from lad_mpi.training.evaluate import Evaluated, EvaluationShare
from lad_mpi.training.server import RULE_STATE, Server, count_refusals
from lad_mpi.transport import Downlink, EmulatedExchange, Slots
from lad_mpi.types import COMMAND_BYTES, broadcast_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.training.checkpoint import Checkpoint
    from lad_mpi.training.server import Measured
    from lad_mpi.training.setup import Setup
    from lad_mpi.transport import Exchange, Layout, Link
    from lad_mpi.types import Array, HostFloats, HostInts
    from lad_mpi.wire import MessageFormat


#: Prefix of the devices' states in a checkpoint.
_DEVICES = "devices/"


class Command(IntEnum):
    """A command that the server sends to all ranks with every broadcast."""

    STOP = 0
    CONTINUE = 1
    FLUSH = 2
    CHECKPOINT = 3
    EVALUATE = 4
    EVALUATE_UPDATED = 5


#: Commands with which the model is sent, since it has changed.
_WITH_MODEL = (Command.CONTINUE, Command.EVALUATE_UPDATED)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The first server's data of one iteration, before the update.

    Parameters
    ----------
    refusals : ndarray of int64, shape (reasons,)
        Number of messages per :class:`~lad_mpi.compression.Rejection`.
    measured : Measured or None
        What was measured, if the iteration is evaluated.
    """

    refusals: HostInts
    measured: Measured | None


class Loop:
    """One rank's part in the iterations.

    The server decides what all ranks do next. Every broadcast announces an iteration, a
    flush, a checkpoint or the end. So if the server fails between two broadcasts, all ranks
    are at the same point and can still be stopped.

    Parameters
    ----------
    setup : Setup
        The run on this rank.

    Attributes
    ----------
    setup, exchange, clock
        The run, its planned collectives and this rank's clock.
    server : Server or None
        The server on ranks that receive messages; None on others.
    capacity : int
        Maximum number of iterations between two flushes.
    done : int
        Number of completed iterations.
    pending : int
        Number of completed iterations whose times have not been collected yet.
    can_stop : bool
        Whether all ranks are at the same point, so that a command can stop them.
    """

    def __init__(self, setup: Setup) -> None:
        link = setup.link
        self.setup = setup
        self.capacity = min(setup.spec.logging.flush_every, setup.spec.iterations)
        self.done = 0
        self.pending = 0
        self.can_stop = True
        self.clock = Clock(
            self.capacity,
            serves=setup.received is not None,
            hosts_devices=setup.hosts_devices,
            synchronize=setup.backend.synchronize,
        )
        # Allocate all memory here, where the ranks can still agree to fail if one runs out of it.
        self.exchange = _plan(setup)
        self._devices = DeviceBlock(setup, self.exchange.uplink) if setup.hosts_devices else None
        self.server = Server(setup) if setup.received is not None else None
        self._evaluation = EvaluationShare(setup)
        self._last = 0
        shape = (link.size, *self.clock.table.shape)
        self._seconds = np.empty(shape) if self._devices is None else None
        on_host = not setup.sends_from_gpu
        setup.packing.reserve(setup.layout.block(link.rank)[1], slots_on_host=on_host)
        if setup.unpacking is not None:
            setup.unpacking.reserve(setup.layout.num_devices, slots_on_host=on_host)

    def close(self) -> None:
        """Free what the planned collectives hold in the MPI library."""
        self.exchange.close()

    def iterate(self) -> tuple[Command, Step | None]:
        """Run one iteration; every rank calls every collective once, in the same order.

        Returns
        -------
        command : Command
            The server's command. Unless it is CONTINUE, there was no iteration.
        step : Step or None
            The data of the iteration on a server; None on other ranks.

        Raises
        ------
        RunFailedError
            On the server: the iteration cannot be completed, or the model diverged.
        """
        iteration, exchange, clock = self.done, self.exchange, self.clock
        server, devices = self.server, self._devices
        with clock(Phase.BROADCAST):
            command = self.announce(Command.CONTINUE)
            if command != Command.CONTINUE:
                return command, None
            model = self.model if devices is not None else None
        self._last = iteration

        if devices is not None and model is not None:
            coded = devices.encode(model, iteration, clock)
            with clock(Phase.ATTACK):
                devices.attack(coded, iteration)
            with clock(Phase.PACK):
                devices.pack(coded, iteration)
            with clock(Phase.ATTACK):
                devices.tamper(iteration)

        # MPI does not wait for the GPU. The clock has done so at the end of PACK.
        with clock(Phase.GATHER):
            exchange.gather()
        if server is None or exchange.inbox is None:
            return command, None
        with self._in_step():
            return command, self._serve(server, exchange.inbox, iteration)

    def _serve(self, server: Server, inbox: Array, iteration: int) -> Step:
        """Do the work of a server in an iteration."""
        clock = self.clock
        with clock(Phase.UNPACK):
            messages, rejections = server.receive(inbox, iteration)
        with clock(Phase.SIMULATE):
            server.simulate(messages, rejections, iteration)
        with clock(Phase.AGGREGATE):
            estimate = server.aggregate(messages, iteration)
        measured = None
        if self.setup.is_evaluated(iteration):
            with clock(Phase.EVALUATE):
                measured = server.measure(messages, estimate)
        with clock(Phase.UPDATE):
            server.update(estimate, iteration)
        server.check_finite(iteration)
        return Step(count_refusals(rejections), measured)

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[None]:
        """Note a failure that the other servers do not share; they wait for this one."""
        try:
            yield
        except RunFailedError:
            # It follows from what all servers know.
            raise
        except BaseException:
            self.can_stop = self.setup.servers is None
            raise

    def announce(self, command: Command) -> Command:
        """Broadcast the first server's command, with the model if it has changed."""
        word = self.exchange.downlink[:COMMAND_BYTES].view(np.int64)
        several = len(self.setup.messages.parts) > 1
        if self.setup.link.is_server:
            word[0] = int(command)
            if not several and command in _WITH_MODEL:
                self._put_model()
        self.setup.backend.synchronize()
        self.exchange.announce()
        command = Command(int(word[0]))
        if several and command in _WITH_MODEL:
            self._put_model()
            self.exchange.spread()
        return command

    def follow(self) -> None:
        """Follow the first server's commands until it stops the run; on all other ranks."""
        command = Command.CONTINUE
        # The servers refuse messages with values that overflow, and end the run.
        with np.errstate(over="ignore", invalid="ignore"):
            while command != Command.STOP:
                try:
                    command, _ = self.iterate()
                except RunFailedError:
                    # The first server fails for the same reason. It says so, and stops the run.
                    continue
                if command == Command.CONTINUE:
                    self.commit()
                elif command in {Command.EVALUATE, Command.EVALUATE_UPDATED}:
                    self._evaluate()
                else:
                    self._hand_over()
                    if command == Command.CHECKPOINT:
                        if self.server is not None:
                            self.server.collect_state()
                        self._gather_states({})

    @property
    def model(self) -> Array:
        """The model that was sent last, on all ranks."""
        return self.setup.backend.asarray(self._downlink_model())

    def evaluate(self, *, updated: bool) -> Evaluated:
        """Evaluate the model on all ranks, with the batches of the last iteration.

        The first server calls this. It evaluates a small model alone.

        Parameters
        ----------
        updated : bool
            Whether to send the model first, because it has changed.
        """
        command = Command.EVALUATE_UPDATED if updated else Command.EVALUATE
        if self.setup.is_small:
            if updated:
                self._put_model()
            evaluated = self._evaluate()
        else:
            # Allocate before the broadcast: if memory runs out, no rank waits in a collective.
            room = self._evaluation.room()
            self.announce(command)
            evaluated = self._evaluate(room)
        if evaluated is None:
            raise RuntimeError("only the first server evaluates")
        return evaluated

    def commit(self) -> None:
        """Complete an iteration."""
        self.clock.commit(self.pending)
        self.pending += 1
        self.done += 1

    def collect(self, command: Command) -> HostFloats:
        """Broadcast a command and collect every rank's clock table; on the server.

        Returns
        -------
        ndarray of float64, shape (ranks, capacity, phases)
        """
        self.announce(command)
        seconds = self._hand_over()
        if seconds is None:
            raise RuntimeError("only the server collects")
        return seconds

    def collect_state(self) -> tuple[HostFloats, dict[str, HostFloats]]:
        """Announce a checkpoint and collect its state from all ranks; on the server.

        Returns
        -------
        seconds : ndarray of float64, shape (ranks, capacity, phases)
            Every rank's clock table.
        arrays : dict of str to ndarray
            The state by name, as :attr:`layouts` describes it.
        """
        setup = self.setup
        if self.server is None:
            raise RuntimeError("only the server collects")
        room = {}
        if self._devices is None:
            # Allocate before the broadcast: if memory runs out, no rank waits in a gather.
            shape = (setup.layout.num_devices, setup.message_dimension)
            room = {name: np.empty(shape, setup.backend.dtype) for name in setup.device_states}
        seconds = self.collect(Command.CHECKPOINT)
        with self._in_step():
            return seconds, {**self.server.collect_state(), **self._gather_states(room)}

    @property
    def layouts(self) -> dict[str, ArrayLayout]:
        """Layout of each array in the checkpoints of the run, by name; on the server."""
        setup = self.setup
        dtype, rows = setup.backend.dtype, (setup.layout.num_devices, setup.message_dimension)
        if self.server is None:
            raise RuntimeError("only a server has a state")
        state = self.server.state
        return {
            RULE_STATE: ArrayLayout((setup.dimension,), dtype, required=False),
            **{
                name: ArrayLayout(self.server.shape_of(array), array.dtype)
                for name, array in state.items()
            },
            **{_DEVICES + name: ArrayLayout(rows, dtype) for name in setup.device_states},
        }

    def restore(self, iterations: int, checkpoint: Checkpoint | None) -> None:
        """Continue from a checkpoint; all ranks call this, but only the server has the file."""
        setup = self.setup
        self.done = iterations
        if iterations == 0:
            return
        if self.server is not None:
            arrays = None
            if checkpoint is not None:
                arrays = {
                    name: array
                    for name, array in checkpoint.arrays.items()
                    if not name.startswith(_DEVICES)
                }
            if setup.servers is not None:
                arrays = setup.servers.share_arrays(arrays)
            if arrays is not None:
                self.server.restore(arrays)
        for name in setup.device_states:
            own = setup.link.scatter_rows(
                setup.layout,
                None if checkpoint is None else checkpoint.arrays[_DEVICES + name],
                (setup.message_dimension,),
                setup.backend.dtype,
            )
            if self._devices is not None:
                self._devices.state[name] = setup.backend.asarray(own).copy()

    def _downlink_model(self) -> Array:
        return self.exchange.downlink[COMMAND_BYTES:].view(self.setup.backend.dtype)

    def _put_model(self) -> None:
        """Write this server's columns of the model into the broadcast."""
        if self.server is not None:
            own = self.setup.own_columns
            columns = slice(None) if own is None else own.columns
            copy_array(self.server.model, self._downlink_model()[columns])

    def _hand_over(self) -> HostFloats | None:
        self.pending = 0
        return self.setup.link.collect(self.clock.table, self._seconds)

    def _evaluate(self, room: HostFloats | None = None) -> Evaluated | None:
        return self._evaluation.evaluate(self.model, self._last, room)

    def _gather_states(self, room: dict[str, HostFloats]) -> dict[str, HostFloats]:
        setup = self.setup
        gathered = {}
        for name in setup.device_states:
            if self._devices is None:
                # A server without devices has no rows.
                own = np.empty((0, setup.message_dimension), dtype=setup.backend.dtype)
            else:
                own = to_host(self._devices.state[name])
            rows = setup.link.gather_rows(setup.layout, own, room.get(name))
            if rows is not None:
                gathered[_DEVICES + name] = rows
        return gathered


def _plan(setup: Setup) -> Exchange:
    """Allocate the buffers of the two collectives and plan them."""
    spec, link, backend = setup.spec, setup.link, setup.backend
    allocate = backend.xp.zeros if setup.sends_from_gpu else backend.host_buffer
    exchange = plan_exchange(
        link,
        setup.layout,
        setup.messages,
        setup.received,
        setup.dimension,
        lambda shape: allocate(shape, "uint8"),
    )
    network = spec.network.emulate
    if network is None:
        return exchange
    parts = setup.messages.parts
    return EmulatedExchange(
        exchange,
        network,
        spec.devices.count,
        message_bytes=max(part.num_bytes for part in parts),
        num_servers=len(parts),
        meet=link.meet,
    )


def plan_exchange(  # noqa: PLR0917
    link: Link,
    layout: Layout,
    messages: MessageFormat,
    received: MessageFormat | None,
    dimension: int,
    allocate: Callable[[tuple[int, ...]], Array],
) -> Exchange:
    """Allocate buffers for messages and for a model, and plan their collectives.

    Parameters
    ----------
    link : Link
        This rank and its connections.
    layout : Layout
        Which ranks are servers, and which rank hosts which devices.
    messages : MessageFormat
        What a device sends.
    received : MessageFormat or None
        What this rank receives from a device; None if it receives nothing.
    dimension : int
        Q, the numbers of the model.
    allocate : callable
        Takes a shape and returns an array of uint8.
    """
    itemsize = messages.dtype.itemsize
    # The columns of messages with a real and an imaginary part are not those of the model.
    shared = messages.parts if len(messages.parts) > 1 else ()
    downlink = Downlink(
        broadcast_bytes(dimension, itemsize),
        tuple(
            slice(
                broadcast_bytes(part.columns.start, itemsize),
                broadcast_bytes(part.columns.stop, itemsize),
            )
            for part in shared
        ),
    )
    return link.plan(
        layout,
        Slots(messages.slot_bytes, tuple(part.blocks for part in messages.parts)),
        None if received is None else Slots(received.slot_bytes, (received.parts[0].blocks,)),
        downlink,
        allocate,
    )
