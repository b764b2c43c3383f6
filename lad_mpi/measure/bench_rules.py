"""How long rules take, compared with one read of the matrix and one Gram product."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES, Pipeline
from lad_mpi.columns import column_blocks, over_columns
from lad_mpi.errors import ParameterError
from lad_mpi.measure.timing import Timing, measure_times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lad_mpi.arrays import DtypeName
    from lad_mpi.types import HostFloats


#: A pipeline that is faster than its parts one after the other.
_PIPELINE = "nnm + trimmed_mean"


@dataclass(frozen=True, slots=True)
class RuleBench:
    """Times of rules and pre-aggregations on one matrix.

    Parameters
    ----------
    num_messages, num_byzantine, dimension : int
        n, f and Q.
    dtype : {"float64", "float32"}
        Dtype of the messages.
    read : Timing
        The mean of the columns, which reads the matrix once.
    gram : Timing
        The product of the centred rows with their transpose, in blocks, in the dtype of the
        messages.
    components : dict of str to Timing
        By kind, or by a pipeline of kinds such as ``"nnm + trimmed_mean"``.
    """

    num_messages: int
    num_byzantine: int
    dimension: int
    dtype: DtypeName
    read: Timing
    gram: Timing
    components: dict[str, Timing]


def bench_rules(
    num_messages: int,
    num_byzantine: int,
    dimension: int,
    *,
    dtype: DtypeName = "float64",
    repeats: int = 7,
    kinds: Sequence[str] | None = None,
) -> RuleBench:
    """Time rules and pre-aggregations on a matrix of normal numbers.

    Parameters
    ----------
    num_messages, num_byzantine, dimension : int
        n, f and Q.
    dtype : {"float64", "float32"}
        Dtype of the messages.
    repeats : int
        Number of timed calls of each, after one for warm-up.
    kinds : sequence of str, optional
        Rules, pre-aggregations, and pipelines such as ``"nnm + trimmed_mean"`` (default: all
        rules and pre-aggregations, and that pipeline).

    Raises
    ------
    ParameterError
        A size is not positive, or a kind is unknown.
    """
    sizes = {"num_messages": num_messages, "dimension": dimension, "repeats": repeats}
    for name, size in sizes.items():
        if size < 1:
            raise ParameterError(name, f"must be at least 1, not {size}")
    generator = np.random.default_rng(0)
    messages = generator.standard_normal((num_messages, dimension), dtype=np.dtype(dtype).type)
    chosen = [*RULES, *PRE_AGGREGATIONS, _PIPELINE] if kinds is None else list(kinds)
    calls: dict[str, Callable[[], object]] = {
        kind: partial(_build(kind, num_byzantine), messages) for kind in chosen
    }
    refusals = {kind: refused for kind, call in calls.items() if (refused := _refusal(call))}
    bounds = {"read": lambda: messages.mean(axis=0), "gram": _gram_product(messages)}
    accepted = {kind: call for kind, call in calls.items() if kind not in refusals}
    times = measure_times({**bounds, **accepted}, repeats)
    return RuleBench(
        num_messages=num_messages,
        num_byzantine=num_byzantine,
        dimension=dimension,
        dtype=dtype,
        read=times["read"],
        gram=times["gram"],
        components={
            kind: times[kind] if kind in times else Timing((), refusals[kind]) for kind in chosen
        },
    )


def _refusal(call: Callable[[], object]) -> str:
    """Return why a call is refused, or an empty text. Exponential rules refuse a large n."""
    try:
        call()
    except ParameterError as error:
        return str(error)
    return ""


def _gram_product(messages: HostFloats) -> Callable[[], object]:
    centred = messages - messages[0]

    # Linear algebra libraries are slow on matrices this wide, so multiply blocks.
    def products_of(columns: slice) -> HostFloats:
        blocks = (centred[:, block] for block in column_blocks(centred, columns))
        return sum((block @ block.T for block in blocks), np.zeros((len(centred), len(centred))))

    return lambda: sum(over_columns(centred, products_of))


def _build(name: str, num_byzantine: int) -> Callable[[HostFloats], object]:
    *first, last = [kind.strip() for kind in name.split("+")]
    if not first:
        alone: Callable[[HostFloats], object] = _component(
            {**RULES, **PRE_AGGREGATIONS}, last, num_byzantine
        )
        return alone
    pre = tuple(_component(PRE_AGGREGATIONS, kind, num_byzantine) for kind in first)
    return Pipeline(pre, _component(RULES, last, num_byzantine))


def _component(table: Mapping[str, type[Any]], kind: str, num_byzantine: int) -> Any:
    if kind not in table:
        raise ParameterError(
            "rules", f"unknown kind {kind!r}", hint=f"known: {', '.join(sorted(table))}"
        )
    fields = {field.name for field in dataclasses.fields(table[kind])}
    told = {"num_byzantine": num_byzantine} if "num_byzantine" in fields else {}
    return table[kind](**told)
