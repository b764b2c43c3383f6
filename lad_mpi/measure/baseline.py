"""The baseline of a machine: memory, arithmetic, messages, files and GPU, on all ranks."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.arrays import open_backend, visible_gpus
from lad_mpi.machine import (
    cpu_model,
    describe_blas,
    describe_place,
    format_ranges,
    oversubscribed,
    package_versions,
    quota_cpus,
)
from lad_mpi.measure.bare import Bare
from lad_mpi.measure.kernels import kernels, measure_gpu
from lad_mpi.records import Baseline, Quantity
from lad_mpi.records.baseline import ALONE

if TYPE_CHECKING:
    from pathlib import Path

    from lad_mpi.measure.kernels import Effort
    from lad_mpi.transport import Link


def measure_baseline(link: Link, folder: Path, effort: Effort, *, quick: bool) -> Baseline | None:
    """Measure the machine. This is collective: all ranks call it.

    Parameters
    ----------
    link : Link
        Of this rank.
    folder : Path
        Existing folder in which rank 0 measures HDF5.
    effort : Effort
        Sizes and repetitions.
    quick : bool
        Whether the record says that this is a quick baseline.

    Returns
    -------
    Baseline or None
        The baseline on the server, None on other ranks.

    Raises
    ------
    UsageError
        The folder is not writable.
    """
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    start = perf_counter()
    places = [json.loads(text) for text in link.gather_texts(json.dumps(describe_place()))]
    found = []
    if link.is_server:
        # First, because the folder may not be writable, and no other rank waits yet.
        found.append(_appends(folder, effort))
    found += _measure_processors(link, effort)
    if link.communicator is not None:
        found += measure_network(link, Bare(link.communicator), effort)
    if not link.is_server:
        return None
    return Baseline(
        date=date,
        quick=quick,
        ranks=link.size,
        oversubscribed=oversubscribed(places),
        machine=_describe_machine(link, places, folder),
        quantities=tuple(found),
        duration_s=perf_counter() - start,
    )


def _appends(folder: Path, effort: Effort) -> Quantity:
    # Only the server needs HDF5.
    from lad_mpi.logs.append import time_appends  # noqa: PLC0415

    times_s = time_appends(folder, effort.append_bytes, effort.repeats)
    samples = tuple(effort.append_bytes / time_s for time_s in times_s)
    return Quantity("hdf5_append", "B/s", samples, effort.append_bytes, ALONE)


def _measure_processors(link: Link, effort: Effort) -> list[Quantity]:
    """Measure rank 0 while the others sleep, then all ranks at once."""
    found: list[Quantity] = []
    mine = kernels(open_backend("numpy", "float64"), effort)
    if link.is_server:
        found += [kernel.measure(effort, f"{kernel.name}_alone", ALONE) for kernel in mine]
        if visible_gpus():
            found += measure_gpu(open_backend("cupy", "float64"), effort, ALONE)
    bare = None if link.communicator is None else Bare(link.communicator)
    if bare is not None:
        bare.wait_quietly()
    for kernel in mine:
        take = kernel.sampler(effort.sample_s)
        rates = np.empty(effort.repeats)
        for repeat in range(effort.repeats):
            if bare is not None:
                bare.start_together()
            rates[repeat] = take()
        table = link.collect(rates)
        if table is None:
            continue
        for name, samples in (("each", table.min(axis=0)), ("together", table.sum(axis=0))):
            found.append(
                Quantity(
                    f"{kernel.name}_{name}", kernel.unit, tuple(samples.tolist()), kernel.size_bytes
                )
            )
    return found


def _describe_machine(link: Link, places: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    return {
        "hosts": [place["host"] for place in places],
        "affinity": [format_ranges(place["cpus"]) for place in places],
        "blas_threads": [place["blas_threads"] for place in places],
        "cpu_model": cpu_model(),
        "quota_cpus": quota_cpus(),
        "load_average": os.getloadavg()[0],
        "gpus": visible_gpus(),
        "blas": describe_blas(),
        "packages": package_versions(),
        "mpi_library": link.library or "none: a single process",
        "output": str(folder),
    }


def measure_network(link: Link, bare: Bare, effort: Effort) -> list[Quantity]:
    """Measure ``ping_pong``, ``bcast`` and ``gather``. This is collective.

    Parameters
    ----------
    link : Link
        Of this rank.
    bare : Bare
        Plain MPI calls.
    effort : Effort
        Sizes and repetitions.

    Returns
    -------
    list of Quantity
        Quantities in seconds on the server, empty on other ranks. The time of a collective
        is the largest over ranks.
    """
    found = []
    for partner in ping_partners(link.size, effort.partners):
        for size_bytes in effort.messages_bytes:
            times_s = bare.ping_pong(partner, size_bytes, effort.repeats)
            if link.is_server:
                name = f"rank 0 – rank {partner}"
                found.append(Quantity("ping_pong", "s", tuple(times_s), size_bytes, name))
    for size_bytes in effort.messages_bytes:
        calls = [
            bare.broadcast_call(np.zeros(size_bytes, dtype=np.uint8)),
            bare.gather_call(size_bytes),
        ]
        times = link.collect(bare.time_together(calls, effort.repeats))
        if times is not None:
            for name, samples in zip(("bcast", "gather"), times.max(axis=0), strict=True):
                found.append(Quantity(name, "s", tuple(samples.tolist()), size_bytes))
    return found


def ping_partners(size: int, most: int) -> list[int]:
    """Choose at most ``most`` evenly spaced ranks, including the first after 0 and the last.

    Examples
    --------
    >>> ping_partners(4, 16), ping_partners(101, 3)
    ([1, 2, 3], [1, 50, 100])
    """
    if size - 1 <= most:
        return list(range(1, size))
    return sorted({int(rank) for rank in np.linspace(1, size - 1, most)})
