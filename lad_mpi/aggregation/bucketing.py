"""Bucketing: means of random groups of messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from lad_mpi.aggregation.base import check_messages
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.rows import finite_rows
from lad_mpi.arrays import namespace
from lad_mpi.columns import column_blocks, over_columns
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, CountOrZero, check_parameters
from lad_mpi.rng import Purpose, Streams

if TYPE_CHECKING:
    from lad_mpi.types import Array

# The seed of calls without streams.
_DEFAULT_SEED = 0


@dataclass(frozen=True, slots=True)
class Bucketing:
    r"""Shuffle the messages, then replace each bucket of messages by its mean.

    Parameters
    ----------
    num_byzantine : int
        f. A faulty message spoils one bucket, so at most f of the fewer means are faulty.
    size : int
        s, messages in a bucket. The last bucket may hold fewer.

    Notes
    -----
    With a uniform permutation π, n messages become ⌈n/s⌉,

    .. math:: y_b = \frac{1}{s} \sum_{j = s b}^{s b + s - 1} x_{π(j)}.

    A call draws the permutation of iteration 0 and seed 0, which is the same every
    time. :meth:`sample` draws from the streams of a run.

    References
    ----------
    Karimireddy, He, Jaggi, "Byzantine-robust learning on heterogeneous datasets via
    bucketing", ICLR 2022, arXiv:2006.09365.

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.aggregation import Bucketing
    >>> Bucketing(size=2)(np.ones((5, 1))).shape
    (3, 1)
    """

    num_byzantine: CountOrZero = 0
    size: Count = 2

    kind: ClassVar[str] = "bucketing"
    works_on_columns: ClassVar[Literal[True]] = True
    cost: ClassVar[Cost] = Cost(Term(n=1, Q=1))

    def __post_init__(self) -> None:
        check_parameters(self)

    def __call__(self, messages: Array) -> Array:
        """Transform messages of shape (n, Q) into ⌈n/s⌉, shuffled the same way in every call."""
        return self.sample(messages, Streams(_DEFAULT_SEED), iteration=0, stage=0)

    def sample(self, messages: Array, streams: Streams, *, iteration: int, stage: int) -> Array:
        """Transform messages of shape (n, Q) into ⌈n/s⌉.

        Parameters
        ----------
        messages : array, shape (n, Q)
        streams : Streams
            The run's random streams.
        iteration : int
            The iteration t.
        stage : int
            Place of this pre-aggregation among all, for a permutation of its own.

        Returns
        -------
        array, shape (⌈n/s⌉, Q)

        Raises
        ------
        ParameterError
            2f ≥ ⌈n/s⌉.
        ValueError
            The array is not two-dimensional and floating, or is empty.
        """
        check_messages(messages, self.num_byzantine)
        num_rows, num_columns = messages.shape
        num_buckets = -(-num_rows // self.size)
        if 2 * self.num_byzantine >= num_buckets:
            raise ParameterError(
                "size",
                f"bucketing {num_rows} messages by {self.size} leaves {num_buckets} buckets; "
                f"{self.num_byzantine} faulty buckets are not a minority",
                hint="use smaller buckets",
            )
        words = streams.words(Purpose.PRE_AGGREGATION, iteration, num_rows, first_device=stage)
        order = np.argsort(words[0], kind="stable")
        messages = finite_rows(messages)
        xp = namespace(messages)
        means = xp.empty((num_buckets, num_columns), dtype=messages.dtype)
        whole = num_rows // self.size
        groups = xp.asarray(order[: whole * self.size].reshape(whole, self.size))
        rest = xp.asarray(order[whole * self.size :])

        def average(columns: slice) -> None:
            for part in column_blocks(messages, columns):
                block = messages[:, part]
                means[:whole, part] = _mean(block[groups], axis=1)
                if len(rest):
                    means[whole:, part] = _mean(block[rest], axis=0)

        for _ in over_columns(messages, average):
            pass
        return means


def _mean(values: Array, axis: int) -> Array:
    xp = namespace(values)
    mean = values.sum(axis=axis, dtype=np.float64) / values.shape[axis]
    if not xp.isfinite(mean).all():
        # Dividing first is less accurate, so it is done only if the sum overflows.
        mean = (values / values.shape[axis]).sum(axis=axis, dtype=np.float64)
    return mean
