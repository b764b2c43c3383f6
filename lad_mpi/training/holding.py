"""Hold the data once a host, and only the subsets that the ranks of the host use."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.attacks import DataAttack
from lad_mpi.data import Dataset
from lad_mpi.errors import DataError, told_errors
from lad_mpi.transport import SERVER, SharedBlock, arrays_in, from_server, map_block, size_of
from lad_mpi.types import SampleForm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lad_mpi.rng import Streams
    from lad_mpi.spec import Spec
    from lad_mpi.transport import Layout, Link
    from lad_mpi.types import Array, HostInts

#: Arrays of a data set, in the order in which they lie in a shared block.
_ARRAYS = ("features", "targets", "offsets", "test_features", "test_targets")
#: Numbers that are converted and checked at once.
_AT_ONCE = 2**18


@dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """The data of a rank.

    Parameters
    ----------
    dataset : Dataset
        The samples in the dtype of the run. Rows of subsets that the host does not hold are
        undefined.
    subsets : ndarray of int64, or None
        The subsets that the host holds; None for all.
    remark : str
        Why this rank holds a copy of its own; empty if it needs none.
    """

    dataset: Dataset
    subsets: HostInts | None
    remark: str = ""


def hold(spec: Spec, link: Link, layout: Layout, streams: Streams, dtype: Any) -> Holding:
    """Load the data on the first rank of each host, and map them on the others.

    All ranks call this together. A rank that cannot map the memory of the first one loads the
    data itself.

    Parameters
    ----------
    spec : Spec
        The run.
    link : Link
        This rank and its connections.
    layout : Layout
        Which rank hosts which devices.
    streams : Streams
        The run's random streams.
    dtype : dtype
        Type of the features, and of targets that are not class numbers.

    Raises
    ------
    DataError
        The data cannot be read, or hold numbers too large for ``dtype``.
    AgreedError
        On the other ranks of the host, without a message.
    """
    host = link.on_host()
    subsets = used_subsets(spec, layout, streams, map(int, host.gather_texts(str(link.rank))))

    def load() -> Dataset:
        return spec.data.load(
            spec.devices.count,
            streams,
            task=spec.model.task,
            has_bias=spec.model.has_bias,
            subsets=subsets,
            dtype=dtype,
        )

    if host.size == 1:
        return Holding(_private(load(), subsets, dtype), subsets)
    made: list[Holding] = []
    with contextlib.ExitStack() as stack:

        def publish() -> str:
            with told_errors():
                dataset = load()
                shapes = _shapes(dataset, dtype)
                try:
                    block = stack.enter_context(SharedBlock(size_of(shapes)))
                except OSError as error:
                    made.append(Holding(_private(dataset, subsets, dtype), subsets, str(error)))
                    return json.dumps({"refused": str(error)})
                arrays = arrays_in(block.memory, shapes)
                _fill(dataset, arrays, subsets)
                made.append(Holding(_with(dataset, arrays), subsets))
                return _described(dataset, shapes, block.address)

        text = from_server(host, publish)
        remark = ""
        if not made:
            try:
                made.append(Holding(_mapped(text), subsets))
            except OSError as error:
                remark = str(error)
        # The first rank closes the block after all others have mapped it.
        host.meet("the mapping of the data")
    return made[0] if made else Holding(_private(load(), subsets, dtype), subsets, remark)


def used_subsets(
    spec: Spec, layout: Layout, streams: Streams, ranks: Iterable[int]
) -> HostInts | None:
    """Return the subsets that some ranks use in the whole run; None for all.

    The server computes the optimum and evaluates small models, so it uses all. So do the ranks
    of a code that assigns other subsets in each iteration, and attacks on targets, which see all
    targets.
    """
    ranks = list(ranks)
    if SERVER in ranks or spec.coding.varies or isinstance(spec.attack, DataAttack):
        return None
    count = spec.devices.count
    held = spec.coding.assign(count, spec.devices.num_byzantine, streams, 0).subsets
    # The last entry collects the padding.
    used = np.zeros(count + 1, dtype=bool)
    for first, own in map(layout.block, ranks):
        used[held[first : first + own]] = True
        # A rank evaluates the subsets with the numbers of its devices.
        used[first : first + own] = True
    return np.flatnonzero(used[:-1])


def _private(dataset: Dataset, subsets: HostInts | None, dtype: Any) -> Dataset:
    """Return the data in this dtype, in memory of this rank, and copied only if necessary."""
    arrays = [
        array
        if subsets is None and array.dtype == kind and array.flags.c_contiguous
        # Pages that are never written take no memory.
        else np.empty(shape, dtype=kind)
        for array, (shape, kind) in zip(_arrays(dataset), _shapes(dataset, dtype), strict=True)
    ]
    _fill(dataset, arrays, subsets)
    return _with(dataset, arrays)


def _fill(dataset: Dataset, arrays: Sequence[Array], subsets: HostInts | None) -> None:
    """Copy the data, with the features of some subsets only.

    Raises
    ------
    DataError
        A number is too large for the type of an array.
    """
    for source, target in zip(_arrays(dataset), arrays, strict=True):
        bounds = [(0, len(source))]
        if source is dataset.features and subsets is not None:
            ends = dataset.offsets.tolist()
            bounds = [(ends[k], ends[k + 1]) for k in subsets.tolist()]
        step = max(1, _AT_ONCE // max(1, source[:1].size))
        for start, stop in bounds:
            for first in range(start, stop, step):
                rows = slice(first, min(first + step, stop))
                if source is not target:
                    with np.errstate(over="ignore"):
                        target[rows] = source[rows]
                if not np.isfinite(target[rows]).all():
                    raise DataError(
                        f"the data hold numbers too large for {target.dtype}",
                        hint='rescale the data, or set backend.dtype = "float64"',
                    )


def _described(dataset: Dataset, shapes: Sequence[tuple[Any, Any]], address: str) -> str:
    return json.dumps(
        {
            "address": address,
            "arrays": [[shape, np.dtype(kind).str] for shape, kind in shapes],
            "form": [dataset.form.shape, dataset.form.num_classes],
            "classes": dataset.classes,
            "reading": dataset.reading,
            "digest": dataset.digest,
        }
    )


def _mapped(text: str) -> Dataset:
    """Return the data that the first rank of the host describes.

    Raises
    ------
    OSError
        The memory cannot be mapped.
    """
    found = json.loads(text)
    if "refused" in found:
        raise OSError(found["refused"])
    shapes = [(tuple(shape), kind) for shape, kind in found["arrays"]]
    arrays = arrays_in(map_block(found["address"]), shapes)
    shape, num_classes = found["form"]
    return Dataset(
        form=SampleForm(tuple(shape), num_classes),
        classes=tuple(found["classes"]),
        reading=found["reading"],
        digest=found["digest"],
        **dict(zip(_ARRAYS, arrays, strict=True)),
    )


def _arrays(dataset: Dataset) -> list[Array]:
    return [getattr(dataset, name) for name in _ARRAYS]


def _shapes(dataset: Dataset, dtype: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Return shape and type of the arrays in a run."""
    return [
        (array.shape, np.dtype(np.int64 if array.dtype.kind == "i" else dtype))
        for array in _arrays(dataset)
    ]


def _with(dataset: Dataset, arrays: Sequence[Array]) -> Dataset:
    return replace(dataset, **dict(zip(_ARRAYS, arrays, strict=True)))
