"""The devices that one rank hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lad_mpi.attacks import AttackContext, LocalAttack
from lad_mpi.training.clock import Clock, Phase

if TYPE_CHECKING:
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostBytes, HostInts

#: Writes the gradients of the wanted subsets into an array.
_Source: TypeAlias = Callable[["HostInts", Any], None]


class DeviceBlock:
    """A contiguous block of devices, worked on together.

    All devices of the block compute their j-th subset in one call, so memory
    is O(block × Q) whatever the load is.

    Parameters
    ----------
    setup : Setup
        The run on this rank, which hosts at least one device.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._first, self._count = setup.layout.block(setup.link.rank)
        shape = (self._count, setup.problem.dimension)
        xp, dtype = setup.backend.xp, setup.backend.dtype
        self._coded: Array = xp.empty(shape, dtype=dtype)
        self._term: Array = xp.empty(shape, dtype=dtype)
        self._staged = setup.backend.host_buffer(shape, dtype)
        block = (setup.byzantine >= self._first) & (setup.byzantine < self._first + self._count)
        self._byzantine: HostInts = setup.byzantine[block]

    def encode(self, model: Array, iteration: int, clock: Clock) -> Array:
        """Compute the devices' subset gradients and their coded vectors.

        Returns
        -------
        array, shape (devices of the block, Q)
            Coded vectors, valid until the next call.
        """
        assignment = self._setup.assignment(iteration)
        own = slice(self._first, self._first + self._count)
        subsets = assignment.subsets[own]
        fetch = self._fetch_shared if self._setup.spec.compute == "shared" else self._fetch
        with clock(Phase.COMPUTE):
            source = fetch(model, subsets)
        with clock(Phase.ENCODE):
            weights = self._setup.backend.asarray(assignment.weights[own])
        for j in range(subsets.shape[1]):
            self._accumulate(j, subsets, weights, source, clock)
        if weights.shape[1] == 1:
            with clock(Phase.ENCODE):
                self._coded *= weights
        return self._coded

    def attack(self, coded: Array, iteration: int) -> None:
        """Put in place, in the rows of Byzantine devices, what these send of their own accord."""
        attack = self._setup.spec.attack
        if not isinstance(attack, LocalAttack) or not len(self._byzantine):
            return
        devices = self._setup.spec.devices
        context = AttackContext(
            self._setup.streams, iteration, self._byzantine, devices.count, devices.byzantine
        )
        rows = self._byzantine - self._first
        coded[rows] = attack.corrupt(coded[rows], context)

    def pack(self, coded: Array, iteration: int, slots: HostBytes) -> None:
        """Compress the vectors and write one message a device."""
        setup = self._setup
        host = coded if setup.backend.on_host else setup.backend.to_host(coded, self._staged)
        setup.messages.pack(host, setup.channel(iteration, self._first, self._count), slots)

    def _accumulate(
        self, j: int, subsets: HostInts, weights: Array, source: _Source, clock: Clock
    ) -> None:
        present = np.flatnonzero(subsets[:, j] >= 0)
        everyone = len(present) == self._count
        term = self._coded if j == 0 else self._term[: len(present)]
        with clock(Phase.COMPUTE):
            source(subsets[present, j], term)
        with clock(Phase.ENCODE):
            if weights.shape[1] > 1:
                term *= weights[:, j : j + 1] if everyone else weights[present, j : j + 1]
            if j > 0 and everyone:
                self._coded += term
            elif j > 0:
                self._coded[present] += term

    def _fetch(self, model: Array, subsets: HostInts) -> _Source:  # noqa: ARG002
        gradients = self._setup.problem.gradients
        return lambda wanted, out: gradients(model, wanted, out)

    def _fetch_shared(self, model: Array, subsets: HostInts) -> _Source:
        xp, dtype = self._setup.backend.xp, self._setup.backend.dtype
        distinct = np.unique(subsets[subsets >= 0])
        table = xp.empty((len(distinct), self._setup.problem.dimension), dtype=dtype)
        self._setup.problem.gradients(model, distinct, table)

        def copy(wanted: HostInts, out: Array) -> None:
            xp.take(table, xp.asarray(np.searchsorted(distinct, wanted)), axis=0, out=out)

        return copy
