"""The devices that one rank hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.attacks import AttackContext, DataAttack, LocalAttack, WireAttack
from lad_mpi.compression.feedback import correct, keep
from lad_mpi.training.clock import Clock, Phase
from lad_mpi.training.setup import MOMENTUM, RESIDUALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.coding import Assignment
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostBools, HostBytes, HostFloats, HostInts

#: Numbers that are worked on at once: subsets that are looked up, and values of vectors.
_AT_ONCE = 2**16
#: Numbers that are copied for an attack at once.
_MOST_COPIED = 2**20


class DeviceBlock:
    """A contiguous block of devices that compute together.

    Parameters
    ----------
    setup : Setup
        The run on this rank, which hosts at least one device.
    slots : array of uint8, shape (devices of the block, slot_bytes)
        Receives the messages. Vectors are computed there if the codec does not change them.

    Attributes
    ----------
    state : dict of str to array, shape (devices of the block, message values)
        What devices keep between iterations, one row a device. ``"residuals"`` are those of
        error feedback: the compression error that later messages add again; zeros for
        Byzantine devices. ``"momentum"`` is the device momentum. Zeros at the start.
    """

    def __init__(self, setup: Setup, slots: Array) -> None:
        self._setup = setup
        self._slots = slots
        self._first, self._count = setup.layout.block(setup.link.rank)
        self._own = slice(self._first, self._first + self._count)
        dimension = setup.dimension
        shape = (self._count, setup.message_dimension)
        xp, dtype = setup.backend.xp, setup.backend.dtype
        self._in_place = setup.messages.in_place
        self._coded: Array = (
            setup.messages.vectors(slots) if self._in_place else xp.empty(shape, dtype=dtype)
        )
        # A message has one vector, or a real and an imaginary vector.
        self._parts = [
            self._coded[:, start : start + dimension] for start in range(0, shape[1], dimension)
        ]
        self.state: dict[str, Array] = {
            name: xp.zeros(shape, dtype=dtype) for name in setup.device_states
        }
        block = (setup.byzantine >= self._first) & (setup.byzantine < self._first + self._count)
        self._byzantine: HostInts = setup.byzantine[block]
        # isinstance on a protocol costs more than a small attack, so check once.
        attack = setup.spec.attack
        self._attack = attack if isinstance(attack, LocalAttack) and block.any() else None
        self._tampering = attack if isinstance(attack, WireAttack) and block.any() else None
        self._previous: HostBytes | None = None
        self._corrupted: HostBools | None = None
        if isinstance(attack, DataAttack) and block.any():
            self._corrupted = np.zeros(self._count, dtype=bool)
            self._corrupted[self._byzantine - self._first] = True

    def encode(self, model: Array, iteration: int, clock: Clock) -> Array:
        """Compute the devices' coded vectors, and their momentum.

        Returns
        -------
        array, shape (devices of the block, message values)
            What the devices send if they are honest, valid until the next call.
        """
        setup = self._setup
        with clock(Phase.COMPUTE):
            assignment = setup.assignment(iteration)
        if setup.spec.compute == "shared":
            self._share(model, assignment, iteration, clock)
        else:
            with clock(Phase.COMPUTE):
                for rows, subsets in self._blocks(assignment):
                    for part, weights in self._weighted(assignment):
                        setup.objective.coded_gradients(
                            model,
                            subsets,
                            weights[rows],
                            part[rows],
                            iteration=iteration,
                            corrupted=None if self._corrupted is None else self._corrupted[rows],
                        )
        beta = setup.spec.devices.momentum
        if not beta:
            return self._coded
        with clock(Phase.ENCODE):
            step = max(1, _AT_ONCE // self._coded.shape[1])
            # A few devices at a time, so that their vectors stay in the cache.
            for start in range(0, self._count, step):
                rows = slice(start, start + step)
                momentum, coded = self.state[MOMENTUM][rows], self._coded[rows]
                momentum *= beta
                momentum += coded
                # A copy, because attacks change what is sent.
                coded[...] = momentum
        return self._coded

    def _weighted(self, assignment: Assignment) -> list[tuple[Array, HostFloats]]:
        """Return the parts of the vectors of this rank's devices, each with its weights.

        Momentum takes the share 1 − β of a vector, so the weights include it.
        """
        share = 1 - self._setup.spec.devices.momentum
        weights = (share * part[self._own] for part in assignment.weight_parts)
        return list(zip(self._parts, weights, strict=True))

    def _blocks(self, assignment: Assignment) -> Iterator[tuple[slice, HostInts]]:
        """Yield a few devices at a time, by their rows, and their subsets.

        A table of the subsets of all devices would grow with the load.
        """
        step = max(1, _AT_ONCE // assignment.max_load)
        for start in range(0, self._count, step):
            rows = slice(start, min(start + step, self._count))
            devices = slice(self._first + rows.start, self._first + rows.stop)
            yield rows, assignment.part(devices, slice(None))

    def _share(self, model: Array, assignment: Assignment, iteration: int, clock: Clock) -> None:
        """Compute each distinct subset gradient once, and combine them for each device.

        Honest devices and those that train on corrupted targets have gradients of their own.
        """
        setup = self._setup
        xp, dtype = setup.backend.xp, setup.backend.dtype
        parts = self._weighted(assignment)
        corrupted = self._corrupted
        if corrupted is None:
            corrupted = np.zeros(self._count, dtype=bool)
        for flipped in np.unique(corrupted).tolist():
            with clock(Phase.COMPUTE):
                needed = np.zeros(setup.objective.num_subsets, dtype=bool)
                for rows, subsets in self._blocks(assignment):
                    held = subsets[corrupted[rows] == flipped]
                    needed[held[held >= 0]] = True
                distinct = np.flatnonzero(needed)
                table = xp.empty((len(distinct), setup.dimension), dtype=dtype)
                setup.objective.coded_gradients(
                    model,
                    distinct[:, None],
                    np.ones((1, 1)),
                    table,
                    iteration=iteration,
                    corrupted=np.full(len(distinct), flipped),
                )
            with clock(Phase.ENCODE):
                for rows, subsets in self._blocks(assignment):
                    for row in np.flatnonzero(corrupted[rows] == flipped).tolist():
                        held = subsets[row][subsets[row] >= 0]
                        chosen = table[xp.asarray(np.searchsorted(distinct, held))]
                        for part, weights in parts:
                            scales = weights[rows.start + row]
                            scales = np.broadcast_to(scales, subsets[row].shape)[: len(held)]
                            part[rows.start + row] = setup.backend.asarray(scales) @ chosen

    def attack(self, coded: Array, iteration: int) -> None:
        """Replace the rows of Byzantine devices with their attack, in place."""
        attack = self._attack
        if attack is None:
            return
        # A few devices at a time, because an attack makes a copy.
        step = max(1, _MOST_COPIED // coded.shape[1])
        for start in range(0, len(self._byzantine), step):
            devices = self._byzantine[start : start + step]
            rows = devices - self._first
            coded[rows] = attack.corrupt(coded[rows], self._context(iteration, devices))

    def pack(self, coded: Array, iteration: int) -> None:
        """Compress the vectors and write the messages of each device."""
        setup, slots = self._setup, self._slots
        channel = setup.channel(iteration, self._first, self._count)
        if RESIDUALS not in self.state:
            setup.packing.pack(None if self._in_place else coded, channel, slots)
            return
        corrected = correct(coded, self.state[RESIDUALS])
        setup.packing.pack(corrected, channel, slots)
        received, _ = setup.packing.unpack(slots, channel)
        self.state[RESIDUALS] = keep(corrected, received)
        # Byzantine devices do not use error feedback.
        self.state[RESIDUALS][self._byzantine - self._first] = 0

    def tamper(self, iteration: int) -> None:
        """Replace the bytes of messages of Byzantine devices, in place."""
        if self._tampering is None:
            return
        slots, messages = self._slots, self._setup.messages
        rows = self._byzantine - self._first
        channel = self._setup.channel(iteration, self._first, self._count, rows)
        valid = messages.joined(to_host(slots[rows]), channel)
        context = self._context(iteration, self._byzantine, self._previous)
        tampered = self._tampering.tamper(valid, messages, context)
        slots[rows] = namespace(slots).asarray(messages.cut(tampered, channel))
        self._previous = valid

    def _context(
        self, iteration: int, devices: HostInts, previous: HostBytes | None = None
    ) -> AttackContext:
        chosen = self._setup.spec.devices
        return AttackContext(
            self._setup.streams,
            iteration,
            devices,
            chosen.count,
            chosen.byzantine,
            previous,
        )
