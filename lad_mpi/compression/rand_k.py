"""Random sparsification with a shared seed: k coordinates and no indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.rows import finite_rows, from_bytes, groups, refuse, to_bytes
from lad_mpi.errors import ParameterError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.compression.base import Channel
    from lad_mpi.types import HostBytes, HostFloats, HostInts


@dataclass(frozen=True, slots=True)
class RandK:
    r"""Send k coordinates, chosen uniformly without replacement anew for every message.

    Both ends draw the choice from the same keyed stream, so a payload is the k
    values in the order of their indices, and nothing else.

    Parameters
    ----------
    k : int
        Coordinates that are sent, 1 ≤ k ≤ Q.

    Notes
    -----
    With S the set of chosen coordinates,

    .. math:: C(v)_j = \frac{Q}{k} v_j \, [j \in S], \qquad
              \mathbb{E}\|C(v) - v\|^2 = (Q/k - 1) \|v\|^2.

    The receiver scales by Q/k. A value that overflows by it is refused as not
    finite. S holds the positions of the k smallest of Q random words.

    References
    ----------
    Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018,
    arXiv:1809.07599.
    """

    k: int

    kind: ClassVar[str] = "rand_k"
    cost: ClassVar[str] = "b k bytes"
    wire_code: ClassVar[int] = 1
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse to send nothing."""
        if self.k < 1:
            raise ParameterError("k", f"must be at least 1, not {self.k}")

    def check(self, dimension: int) -> None:
        """Refuse k > Q."""
        if self.k > dimension:
            raise ParameterError("k", f"must be at most the dimension {dimension}, not {self.k}")

    def payload_bytes(self, dimension: int, dtype: np.dtype[Any]) -> int:  # noqa: ARG002
        """Return the size of a payload, k numbers."""
        return self.k * dtype.itemsize

    def delta(self, dimension: int) -> float:
        """Return δ = Q/k − 1, which is exact."""
        return dimension / self.k - 1

    def encode(self, vectors: HostFloats, channel: Channel) -> HostBytes:
        """Pick the chosen values; see :meth:`Codec.encode`."""
        values = np.empty((len(vectors), self.k), dtype=channel.dtype)
        for rows, part in groups(channel):
            values[rows] = vectors[rows][self._chosen(part)].reshape(-1, self.k)
        return to_bytes(values)

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Put the values back, scaled; see :meth:`Codec.decode`."""
        values = from_bytes(payloads, channel.dtype)
        with np.errstate(all="ignore"):
            values *= channel.dimension / self.k
        vectors = np.zeros((len(payloads), channel.dimension), dtype=channel.dtype)
        for rows, part in groups(channel):
            vectors[rows][self._chosen(part)] = values[rows].reshape(-1)
        return vectors, refuse(vectors, (~finite_rows(values), Rejection.NOT_FINITE))

    def _chosen(self, channel: Channel) -> npt.NDArray[np.bool_]:
        """Mark the chosen coordinates, bool, shape (n, Q), k in each row."""
        positions = np.arange(channel.dimension, dtype=np.uint64)
        low_bits = np.uint64((channel.dimension - 1).bit_length())
        # The position in the low bits makes keys distinct, so that exactly k are below the bound.
        keys = (channel.words(channel.dimension) >> low_bits << low_bits) | positions
        bound = np.partition(keys, self.k - 1, axis=1)[:, self.k - 1, None]
        chosen: npt.NDArray[np.bool_] = keys <= bound
        return chosen
