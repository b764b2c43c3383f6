"""The devices that one rank hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lad_mpi.arrays import namespace, to_host
from lad_mpi.attacks import AttackContext, LocalAttack, WireAttack
from lad_mpi.compression.feedback import correct, keep
from lad_mpi.training.clock import Clock, Phase

if TYPE_CHECKING:
    from lad_mpi.coding import Assignment
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostBools, HostBytes, HostInts

#: Writes the gradients of the wanted subsets into an array.
_Source: TypeAlias = Callable[["HostInts", Any], None]

#: Numbers that a block of gradients may hold before it is worked on in pieces.
_CACHED = 2**16


class DeviceBlock:
    """A contiguous block of devices, worked on together.

    All devices of the block compute their j-th subsets in one call, for a few j
    at a time, so memory is O(block × Q) whatever the load is.

    Parameters
    ----------
    setup : Setup
        The run on this rank, which hosts at least one device.

    Attributes
    ----------
    residuals : array, shape (devices of the block, Q), or None
        With error feedback, what messages have lost and later ones will make up
        for, where they are packed; zeros for Byzantine devices. None before the
        first message and without error feedback.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._first, self._count = setup.layout.block(setup.link.rank)
        self._own = slice(self._first, self._first + self._count)
        dimension = setup.problem.dimension
        shape = (self._count, setup.message_dimension)
        xp, dtype = setup.backend.xp, setup.backend.dtype
        self._coded: Array = xp.empty(shape, dtype=dtype)
        # The vectors that make up a message: one, or a real and an imaginary one.
        self._parts = [
            self._coded[:, start : start + dimension] for start in range(0, shape[1], dimension)
        ]
        # Several columns of subsets at a time, as long as they stay in the cache.
        self._columns = max(1, _CACHED // max(1, self._count * dimension))
        self._terms: Array = xp.empty((self._columns * self._count, dimension), dtype=dtype)
        block = (setup.byzantine >= self._first) & (setup.byzantine < self._first + self._count)
        self._byzantine: HostInts = setup.byzantine[block]
        self.residuals: Array | None = None
        # Looked up once: a check against a protocol costs more than a small attack.
        attack = setup.spec.attack
        self._attack = attack if isinstance(attack, LocalAttack) and block.any() else None
        self._tampering = attack if isinstance(attack, WireAttack) and block.any() else None
        self._previous: HostBytes | None = None

    def encode(self, model: Array, iteration: int, clock: Clock) -> Array:
        """Compute the devices' subset gradients and their coded vectors.

        Returns
        -------
        array, shape (devices of the block, Q)
            Coded vectors, valid until the next call.
        """
        own = self._own
        fetch = self._fetch_shared if self._setup.spec.compute == "shared" else self._fetch
        with clock(Phase.COMPUTE):
            assignment = self._setup.assignment(iteration)
            source = fetch(model, assignment)
        with clock(Phase.ENCODE):
            weights = [self._setup.backend.asarray(part[own]) for part in assignment.weight_parts]
            one_column = assignment.weights.shape[1] == 1
            self._coded.fill(0)
        for first in range(0, assignment.max_load, self._columns):
            columns = slice(first, first + self._columns)
            with clock(Phase.COMPUTE):
                wanted = assignment.part(self._own, columns).T
                held = wanted >= 0
                flat = wanted[held]
                source(flat, self._terms[: len(flat)])
            with clock(Phase.ENCODE):
                for part, scales in zip(self._parts, weights, strict=True):
                    self._accumulate(part, held, None if one_column else scales[:, columns])
        if one_column:
            with clock(Phase.ENCODE):
                for part, scales in zip(self._parts, weights, strict=True):
                    self._setup.backend.xp.multiply(part, scales, out=part)
        return self._coded

    def attack(self, coded: Array, iteration: int) -> None:
        """Put in place, in the rows of Byzantine devices, what these send of their own accord."""
        attack = self._attack
        if attack is None:
            return
        rows = self._byzantine - self._first
        coded[rows] = attack.corrupt(coded[rows], self._context(iteration))

    def pack(self, coded: Array, iteration: int, slots: Array) -> None:
        """Compress the vectors and write one message a device."""
        setup = self._setup
        channel = setup.channel(iteration, self._first, self._count)
        if not setup.has_residuals:
            setup.packing.pack(coded, channel, slots)
            return
        corrected = correct(coded, self.residuals)
        setup.packing.pack(corrected, channel, slots)
        received, _ = setup.packing.unpack(slots, channel)
        self.residuals = keep(corrected, received)
        # What a Byzantine device sends owes nothing to what it sent before.
        self.residuals[self._byzantine - self._first] = 0

    def tamper(self, slots: Array, iteration: int) -> None:
        """Put in place, in the slots of Byzantine devices, the bytes that these send."""
        if self._tampering is None:
            return
        rows = self._byzantine - self._first
        valid = to_host(slots[rows])
        tampered = self._tampering.tamper(
            valid, self._setup.messages, self._context(iteration, self._previous)
        )
        slots[rows] = namespace(slots).asarray(tampered)
        self._previous = valid

    def _context(self, iteration: int, previous: HostBytes | None = None) -> AttackContext:
        devices = self._setup.spec.devices
        return AttackContext(
            self._setup.streams,
            iteration,
            self._byzantine,
            devices.count,
            devices.byzantine,
            previous,
        )

    def _accumulate(self, part: Array, held: HostBools, weights: Array | None) -> None:
        """Add the computed gradients column by column, so that every device sums in order."""
        everyone = bool(held.all())
        start = 0
        for j, column in enumerate(held):
            # A slice adds in place, where row numbers would copy twice.
            rows = slice(None) if everyone else np.flatnonzero(column)
            count = self._count if everyone else int(column.sum())
            terms = self._terms[start : start + count]
            part[rows] += terms if weights is None else terms * weights[rows, j, None]
            start += count

    def _fetch(self, model: Array, assignment: Assignment) -> _Source:  # noqa: ARG002
        gradients = self._setup.problem.gradients
        return lambda wanted, out: gradients(model, wanted, out)

    def _fetch_shared(self, model: Array, assignment: Assignment) -> _Source:
        xp, dtype = self._setup.backend.xp, self._setup.backend.dtype
        distinct = self._distinct(assignment)
        table = xp.empty((len(distinct), self._setup.problem.dimension), dtype=dtype)
        self._setup.problem.gradients(model, distinct, table)

        def copy(wanted: HostInts, out: Array) -> None:
            xp.take(table, xp.asarray(np.searchsorted(distinct, wanted)), axis=0, out=out)

        return copy

    def _distinct(self, assignment: Assignment) -> HostInts:
        """Return the subsets that any device of the block computes, ascending."""
        # One more than there are, for the padding.
        seen = np.zeros(self._setup.problem.num_subsets + 1, dtype=bool)
        for first in range(0, assignment.max_load, self._columns):
            seen[assignment.part(self._own, slice(first, first + self._columns))] = True
        return np.flatnonzero(seen[:-1])
