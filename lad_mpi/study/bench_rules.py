"""How long rules take, beside the two bounds that the memory and the Gram product set."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES
from lad_mpi.aggregation.columns import column_blocks, over_columns
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lad_mpi.aggregation import PreAggregation, Rule
    from lad_mpi.arrays import DtypeName
    from lad_mpi.types import HostFloats


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall times of one call, repeated.

    Parameters
    ----------
    times_s : tuple of float
        One a repeat, after a warm-up; empty where the call was refused.
    refusal : str
        Why, in the component's words.
    """

    times_s: tuple[float, ...]
    refusal: str = ""

    @property
    def median_s(self) -> float:
        """Median of the times; NaN without any."""
        return median(self.times_s) if self.times_s else float("nan")

    @property
    def spread_s(self) -> float:
        """Longest less shortest time; NaN without any."""
        return max(self.times_s) - min(self.times_s) if self.times_s else float("nan")


@dataclass(frozen=True, slots=True)
class RuleBench:
    """Times of rules and pre-aggregations on one matrix.

    Parameters
    ----------
    num_messages, num_byzantine, dimension : int
        n, f and Q.
    dtype : {"float64", "float32"}
        Of the messages.
    read : Timing
        Mean of the columns: the matrix is read once.
    gram : Timing
        Product of the centred rows with their transpose, in blocks, in the
        dtype of the messages.
    components : dict of str to Timing
        By kind.
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
        Of the messages.
    repeats : int
        Timed calls of each, after one that is not timed.
    kinds : sequence of str, optional
        What is timed; all rules and pre-aggregations where it is left out.

    Raises
    ------
    ParameterError
        A size is not positive, or a kind is unknown.
    """
    sizes = {"num_messages": num_messages, "dimension": dimension, "repeats": repeats}
    for name, size in sizes.items():
        if size < 1:
            raise ParameterError(name, f"must be at least 1, not {size}")
    table: dict[str, type[Rule | PreAggregation]] = {**RULES, **PRE_AGGREGATIONS}
    chosen = list(table) if kinds is None else list(kinds)
    for kind in chosen:
        if kind not in table:
            raise ParameterError("rules", f"{kind!r} is none of {', '.join(sorted(table))}")
    generator = np.random.default_rng(0)
    messages = generator.standard_normal((num_messages, dimension), dtype=np.dtype(dtype).type)
    return RuleBench(
        num_messages=num_messages,
        num_byzantine=num_byzantine,
        dimension=dimension,
        dtype=dtype,
        read=measure_times(lambda: messages.mean(axis=0), repeats),
        gram=_time_gram(messages, repeats),
        components={
            kind: _time_component(table[kind], num_byzantine, messages, repeats) for kind in chosen
        },
    )


def measure_times(call: Callable[[], object], repeats: int) -> Timing:
    """Time a call after one for warming up."""
    call()
    times_s = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start)
    return Timing(tuple(times_s))


def _time_gram(messages: HostFloats, repeats: int) -> Timing:
    centred = messages - messages[0]

    # In blocks, because linear algebra libraries are slow on matrices this wide.
    def products_of(columns: slice) -> HostFloats:
        blocks = (centred[:, block] for block in column_blocks(centred, columns))
        return sum((block @ block.T for block in blocks), np.zeros((len(centred), len(centred))))

    return measure_times(lambda: sum(over_columns(centred, products_of)), repeats)


def _time_component(
    component_class: type[Rule | PreAggregation],
    num_byzantine: int,
    messages: HostFloats,
    repeats: int,
) -> Timing:
    fields = {field.name for field in dataclasses.fields(component_class)}  # type: ignore[arg-type]
    told = {"num_byzantine": num_byzantine} if "num_byzantine" in fields else {}
    try:
        component = component_class(**told)
        return measure_times(lambda: component(messages), repeats)
    except ParameterError as error:
        # Exponential rules refuse large n; that is their answer.
        return Timing((), refusal=str(error))
