"""The iterations of a run, in step on all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.training.clock import Clock
from lad_mpi.training.device import DeviceBlock
from lad_mpi.training.iteration import Command, announce, iterate

if TYPE_CHECKING:
    from lad_mpi.training.iteration import Step
    from lad_mpi.training.server import Server
    from lad_mpi.training.setup import Setup
    from lad_mpi.transport import Exchange
    from lad_mpi.types import HostFloats


class Loop:
    """One rank's part in the iterations.

    The server drives: it announces with every broadcast whether an iteration,
    a flush or the end comes next. So an error on the server between two
    broadcasts, whatever it is, leaves no rank in another place than the others.

    Parameters
    ----------
    setup : Setup
        The run on this rank.
    exchange : Exchange
        Its planned collectives.
    first_iteration : int
        Iterations that an earlier launch completed.

    Attributes
    ----------
    setup, exchange, clock
        As given, and this rank's clock.
    capacity : int
        Most iterations between two flushes.
    done : int
        Completed iterations.
    pending : int
        Those among them whose times have not been collected yet.
    """

    def __init__(self, setup: Setup, exchange: Exchange, first_iteration: int = 0) -> None:
        self.setup = setup
        self.exchange = exchange
        self.capacity = min(setup.spec.logging.flush_every, setup.spec.iterations)
        self.done = first_iteration
        self.pending = 0
        self.clock = Clock(
            self.capacity,
            is_server=setup.link.is_server,
            hosts_devices=setup.link.hosts_devices,
            synchronize=setup.backend.synchronize,
        )
        self._devices = DeviceBlock(setup) if setup.link.hosts_devices else None
        # At the start, where ranks can still agree that a run does not fit into memory.
        shape = (setup.link.size, *self.clock.table.shape)
        self._seconds = np.empty(shape) if self._devices is None else None

    def follow(self) -> None:
        """Do what the server announces, until it announces the end; on ranks of devices."""
        command = Command.CONTINUE
        # What overflows is refused by the server, and ends the run there.
        with np.errstate(over="ignore", invalid="ignore"):
            while command != Command.STOP:
                command, _ = self._iterate(None)
                if command == Command.CONTINUE:
                    self.commit()
                    continue
                self._hand_over()
                if command == Command.CHECKPOINT:
                    self._gather_residuals()

    def step(self, server: Server) -> Step:
        """Run one iteration on the server.

        Raises
        ------
        RunFailedError
            The iteration cannot be completed, or the model diverged.
        """
        _, step = self._iterate(server)
        if step is None:
            raise RuntimeError("an iteration on the server ended without a step")
        return step

    def commit(self) -> None:
        """Close an iteration."""
        self.clock.commit(self.pending)
        self.pending += 1
        self.done += 1

    def collect(self, command: Command, server: Server) -> HostFloats:
        """Announce a flush or the end, and return every rank's clock table.

        Returns
        -------
        ndarray of float64, shape (ranks, capacity, phases)
        """
        announce(command, self.setup, self.exchange, server)
        seconds = self._hand_over()
        if seconds is None:
            raise RuntimeError("only the server collects")
        return seconds

    def collect_state(self, server: Server) -> tuple[HostFloats, HostFloats | None]:
        """Announce a checkpoint, and return what it needs from all ranks.

        Returns
        -------
        seconds : ndarray of float64, shape (ranks, capacity, phases)
            Every rank's clock table.
        residuals : ndarray, shape (N, Q), or None
            Of all devices, where they have any.
        """
        setup = self.setup
        room = None
        if setup.has_residuals and self._devices is None:
            # Before the other ranks wait for it.
            shape = (setup.layout.num_devices, setup.message_dimension)
            room = np.empty(shape, dtype=setup.backend.dtype)
        seconds = self.collect(Command.CHECKPOINT, server)
        return seconds, self._gather_residuals(room)

    def restore(self, residuals: HostFloats | None) -> None:
        """Hand every rank its devices' residuals, which the server has read; on all ranks."""
        if not self.setup.has_residuals:
            return
        setup = self.setup
        own = setup.link.scatter_rows(
            setup.layout, residuals, (setup.message_dimension,), setup.backend.dtype
        )
        if self._devices is not None:
            self._devices.residuals = setup.packing.xp.asarray(own)

    def _hand_over(self) -> HostFloats | None:
        self.pending = 0
        return self.setup.link.collect(self.clock.table, self._seconds)

    def _gather_residuals(self, room: HostFloats | None = None) -> HostFloats | None:
        if not self.setup.has_residuals:
            return None
        setup = self.setup
        own = None if self._devices is None else self._devices.residuals
        if own is None:
            # Before the first message nothing is left to send; the server hosts no devices.
            _, count = setup.layout.block(setup.link.rank)
            own = np.zeros((count, setup.message_dimension), dtype=setup.backend.dtype)
        return setup.link.gather_rows(setup.layout, to_host(own), room)

    def _iterate(self, server: Server | None) -> tuple[Command, Step | None]:
        return iterate(
            self.done,
            self.setup,
            self.exchange,
            self.clock,
            server=server,
            devices=self._devices,
        )
