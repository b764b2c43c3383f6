"""Least times of the phases of an iteration, measured on the ranks that ran it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from zlib_ng import zlib_ng

from lad_mpi.aggregation import CostedPreAggregation, CostedRule
from lad_mpi.arrays import open_backend
from lad_mpi.compression import PlainCodec
from lad_mpi.measure.bare import Bare
from lad_mpi.measure.timing import measure_times
from lad_mpi.models import CountedModel, GradientWork
from lad_mpi.rng import Streams
from lad_mpi.transport import Layout
from lad_mpi.wire import MessageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lad_mpi.aggregation import Cost
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Link

#: Rounds of every measurement, after one for warm-up.
_REPEATS = 5
#: Least duration of a measurement in seconds; a short call is repeated.
_LEAST_S = 1e-3
#: Largest array that is measured; the times of larger ones grow in proportion.
_MOST_BYTES = 2**28
#: Size of a matrix that stays in a cache.
_CACHED_BYTES = 2**18
_NUMBER_BYTES = 8
#: Columns of a block of a Gram product.
_GRAM_COLUMNS = 2048
#: Sizes of a product of two matrices, for models that do not name theirs.
_SQUARE = ((512, 512, 512),)


def shown_bytes(size: float) -> str:
    """Return a number of bytes with a decimal prefix.

    Examples
    --------
    >>> shown_bytes(8e9), shown_bytes(800)
    ('8 GB', '800 B')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor:
            return f"{size / factor:.3g} {prefix}B"
    return f"{size:.0f} B"


class Bound(NamedTuple):
    """The least time of a phase.

    Parameters
    ----------
    seconds : float
        The time.
    basis : str
        What takes this time.
    """

    seconds: float
    basis: str


class _Work(NamedTuple):
    """A call that is measured, and how many times its work a phase does."""

    call: Callable[[], object]
    times: float


class _Part(NamedTuple):
    """A part of the work of a phase that other parts may overlap.

    Parameters
    ----------
    basis : str
        What the work is.
    works : list of _Work
        What takes time, one after another.
    """

    basis: str
    works: list[_Work]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes of a run on a rank.

    Parameters
    ----------
    hosted, devices : int
        Devices of the rank, and N.
    share : float
        Share of the columns of the server that holds most.
    load : float
        d.
    features, dimension, values : int
        p, Q, and the numbers of a message before compression.
    item_bytes : int
        Size of a number.
    message_bytes : int
        Size of a message.
    batch : float
        Samples of a subset that an iteration uses.
    """

    hosted: int
    devices: int
    share: float
    load: float
    features: int
    dimension: int
    values: int
    item_bytes: int
    message_bytes: int
    batch: float

    @property
    def vector_bytes(self) -> int:
        """Size of a message before compression."""
        return self.values * self.item_bytes


def measure_bounds(spec: Spec, link: Link) -> dict[str, Bound]:
    """Measure the least times of the phases. This is collective.

    Parameters
    ----------
    spec : Spec
        The run.
    link : Link
        Of this rank.

    Returns
    -------
    dict of Bound
        By phase, on the server; empty on other ranks. A phase without a bound is omitted:
        there are none on a GPU, and none for gradients of a model that does not declare its
        work.

    Notes
    -----
    Ranks with devices measure their phases at the same time, and the slowest counts. The
    servers measure theirs afterwards. ``docs/performance.md`` lists the bounds.
    """
    if spec.backend.kind != "numpy":
        return {}
    layout = Layout(spec.devices.count, link.size, spec.server.ranks)
    hosted, is_server = layout.block(link.rank)[1], bool(layout.servers_of(link.rank))
    sizes, work = _sizes_of(spec, max(1, hosted), alone=link.size == 1)
    # A rank that hosts no device lists the work of one, so that all ranks list the same phases.
    stages = (
        (partial(_device_parts, spec, sizes, work), hosted > 0),
        (partial(_server_parts, spec, sizes), is_server),
    )
    bounds: dict[str, Bound] = {}
    for parts_of, takes_part in stages:
        parts = parts_of()
        found = _measure(parts) if takes_part else dict.fromkeys(parts, Bound(0.0, ""))
        if link.communicator is not None:
            # Ranks that measure nothing must not slow the others down.
            Bare(link.communicator).wait_quietly()
        bounds |= _slowest(found, link)
    bounds |= _collective_bounds(spec, sizes, link)
    return bounds if link.is_server else {}


def _measure(parts: dict[str, list[_Part]]) -> dict[str, Bound]:
    """Return the longest part of each phase."""
    works = {
        (phase, number, place): work
        for phase, together in parts.items()
        for number, part in enumerate(together)
        for place, work in enumerate(part.works)
    }
    # Call what is fast several times, so that the clock can tell.
    repeats = {key: _calls_in(work.call, _LEAST_S) for key, work in works.items()}
    names = {key: str(key) for key in works}
    times = measure_times(
        {names[key]: partial(_repeat, work.call, repeats[key]) for key, work in works.items()},
        _REPEATS,
    )
    bounds = {}
    for phase, together in parts.items():
        found = []
        for number, part in enumerate(together):
            keys = [(phase, number, place) for place in range(len(part.works))]
            seconds = sum(
                works[key].times * times[names[key]].median_s / repeats[key] for key in keys
            )
            found.append(Bound(seconds, part.basis))
        bounds[phase] = max(found)
    return bounds


def _calls_in(call: Callable[[], object], seconds: float) -> int:
    call()
    start = perf_counter()
    call()
    return max(1, math.ceil(seconds / max(perf_counter() - start, 1e-9)))


def _repeat(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


def _slowest(own: dict[str, Bound], link: Link) -> dict[str, Bound]:
    """Return the bounds of the slowest rank for each phase; nothing on other ranks."""
    table = link.collect(np.array([bound.seconds for bound in own.values()]))
    bases = link.gather_texts("\n".join(bound.basis for bound in own.values()))
    if table is None:
        return {}
    return {
        phase: Bound(float(table[rank, place]), bases[rank].split("\n")[place])
        for place, (phase, rank) in enumerate(zip(own, table.argmax(axis=0).tolist(), strict=True))
    }


def _device_parts(spec: Spec, sizes: _Sizes, work: GradientWork | None) -> dict[str, list[_Part]]:
    """Return what ranks with devices do."""
    own = sizes.hosted * sizes.vector_bytes
    messages = sizes.hosted * sizes.message_bytes
    parts = {}
    shared = spec.compute == "shared"
    if work is not None:
        parts["compute"] = _gradients(sizes, work, np.dtype(spec.backend.dtype), shared=shared)
    encoded = (sizes.load if shared else 0.0) + (spec.devices.momentum > 0)
    if encoded:
        parts["encode"] = [_moving(encoded * own, own)]
    # Vectors that are not compressed are computed where they are sent from.
    packed = _moving(0 if isinstance(spec.compression, PlainCodec) else own, 0)
    parts["pack"] = [_joined(f"CRC-32 of {shown_bytes(messages)}", _checksum(messages), packed)]
    return parts


def _gradients(
    sizes: _Sizes, work: GradientWork, dtype: np.dtype[Any], *, shared: bool
) -> list[_Part]:
    """Return the work of the gradients of a rank."""
    used = min(sizes.devices, sizes.hosted * sizes.load)
    # With shared gradients, the rank computes one for each distinct subset.
    share = used / sizes.load if shared else float(sizes.hosted)
    if work.product == "gemm":
        products = work.products or _SQUARE
        done = sum(2.0 * math.prod(product) for product in products)
        works = [_product(*product, dtype, share * work.operations / done) for product in products]
        return [_Part("matrix products of the same sizes", works)]
    subset_bytes = sizes.batch * sizes.features * sizes.item_bytes
    read = share * (sizes.load * subset_bytes + sizes.dimension * sizes.item_bytes)
    written = (used if shared else sizes.hosted) * sizes.dimension * sizes.item_bytes
    length = max(1, _CACHED_BYTES // (dtype.itemsize * work.samples))
    # Half of the operations are products with the model, and half are sums of the samples.
    times = share * work.operations / (4 * work.samples * length)
    return [
        _moving(read, written, used * subset_bytes),
        _Part(
            "matrix times vector in a cache",
            [
                _product(work.samples, length, 1, dtype, times),
                _product(1, work.samples, length, dtype, times),
            ],
        ),
    ]


def _server_parts(spec: Spec, sizes: _Sizes) -> dict[str, list[_Part]]:
    """Return what each server does with its columns."""
    share = sizes.share
    messages, vectors = (
        share * sizes.devices * size for size in (sizes.message_bytes, sizes.vector_bytes)
    )
    plain = isinstance(spec.compression, PlainCodec)
    aggregate = [_moving(vectors, 0)]
    if any(cost.takes_pairs for cost in _costs(spec)):
        work = _gram(sizes.devices, share * sizes.values, np.dtype(spec.backend.dtype))
        aggregate.append(_Part(f"the Gram matrix of {shown_bytes(vectors)}", [work]))
    return {
        "unpack": [
            _joined(
                f"CRC-32 of {shown_bytes(messages)}",
                _checksum(messages),
                _moving(0, 0 if plain else vectors),
            )
        ],
        "aggregate": aggregate,
        # The optimizer reads the gradient and the model, and writes the model.
        "update": [_moving(2 * share * sizes.vector_bytes, share * sizes.vector_bytes)],
    }


def _costs(spec: Spec) -> Iterator[Cost]:
    if spec.aggregation is not None:
        for part in (*spec.aggregation.pre, spec.aggregation.rule):
            if isinstance(part, (CostedRule, CostedPreAggregation)) and part.cost is not None:
                yield part.cost


def _collective_bounds(spec: Spec, sizes: _Sizes, link: Link) -> dict[str, Bound]:
    """Time plain collectives, or ask the emulated network."""
    down = sizes.dimension * sizes.item_bytes
    up = round(sizes.devices * sizes.message_bytes * sizes.share)
    network = spec.network.emulate
    if network is not None:
        return {
            "broadcast": Bound(network.broadcast_s(down, sizes.devices), "the emulated network"),
            "gather": Bound(network.gather_s(up), "the emulated network"),
        }
    if link.communicator is None:
        return {}
    bare = Bare(link.communicator)
    calls = [bare.broadcast_call(np.zeros(down, dtype=np.uint8)), bare.gather_call(up)]
    table = link.collect(bare.time_together(calls, _REPEATS))
    if table is None:
        return {}
    sent, received = np.median(table.max(axis=0), axis=1).tolist()
    return {
        "broadcast": Bound(sent, f"plain Bcast of {shown_bytes(down)}"),
        "gather": Bound(received, f"plain Gather of {shown_bytes(up)}"),
    }


def _moving(read: float, written: float, working_set: float = math.inf) -> _Part:
    """Return reading from a working set, and writing, at the bandwidth of this rank."""
    words, works = [], []
    if read:
        size = _capped(min(working_set, read))
        numbers = np.ones(size // _NUMBER_BYTES)
        half = len(numbers) // 2
        works.append(_Work(partial(np.dot, numbers[:half], numbers[half : 2 * half]), read / size))
        words.append(f"reading {shown_bytes(read)}")
    if written:
        size = _capped(written)
        works.append(_Work(partial(np.ones(size // _NUMBER_BYTES).fill, 1.0), written / size))
        words.append(f"writing {shown_bytes(written)}")
    return _Part(", ".join(words), works)


def _checksum(size: float) -> _Work:
    block = np.ones(_capped(size), dtype=np.uint8)
    return _Work(partial(zlib_ng.crc32, block), size / len(block))


def _joined(basis: str, work: _Work, more: _Part) -> _Part:
    return _Part(", ".join(filter(None, (basis, more.basis))), [work, *more.works])


def _product(rows: int, inner: int, columns: int, dtype: np.dtype[Any], times: float) -> _Work:
    one, other = np.ones((rows, inner), dtype), np.ones((inner, columns), dtype)
    return _Work(partial(np.matmul, one, other, out=np.empty((rows, columns), dtype)), times)


def _gram(devices: int, columns: float, dtype: np.dtype[Any]) -> _Work:
    width = max(1, _capped(columns * devices * dtype.itemsize) // (devices * dtype.itemsize))
    messages = np.ones((devices, width), dtype)

    def call() -> None:
        total = np.zeros((devices, devices), dtype)
        for first in range(0, width, _GRAM_COLUMNS):
            block = messages[:, first : first + _GRAM_COLUMNS]
            total += block @ block.T

    return _Work(call, columns / width)


def _capped(size: float) -> int:
    """Return the size of an array that stands for so many bytes, whole pairs of numbers."""
    pair = 2 * _NUMBER_BYTES
    return max(pair, min(round(size), _MOST_BYTES) // pair * pair)


def _sizes_of(spec: Spec, hosted: int, *, alone: bool) -> tuple[_Sizes, GradientWork | None]:
    """Return the sizes of a run, and the least work of the gradient of one device."""
    streams, model, count = Streams(spec.seed), spec.model, spec.devices.count
    form, whole = spec.data.form(model.task), spec.data.samples_per_subset
    dtype = np.dtype(spec.backend.dtype)
    if form is None or whole is None:
        dataset = spec.data.load(
            count, streams, task=model.task, has_bias=model.has_bias, subsets=None, dtype=dtype
        )
        form, samples = dataset.form, len(dataset.targets) / count
    else:
        samples = float(whole)
    batch = min(samples, spec.devices.batch_size or samples)
    load = float(spec.coding.assign(count, spec.devices.num_byzantine, streams, 0).loads.mean())
    counted = model if isinstance(model, CountedModel) else None
    dimension = model.build(form, open_backend("numpy", spec.backend.dtype)).dimension
    values = dimension * spec.coding.message_parts
    messages = MessageFormat(spec.compression, values, dtype)
    return _Sizes(
        hosted=hosted,
        devices=count,
        share=1.0 if alone else spec.largest_share(values),
        load=load,
        features=form.num_features,
        dimension=dimension,
        values=values,
        item_bytes=dtype.itemsize,
        message_bytes=messages.message_bytes,
        batch=batch,
    ), None if counted is None else counted.gradient_work(form, max(1, round(load * batch)))
