"""Random sparsification with a shared seed: k coordinates and no indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from lad_mpi.compression.base import Rejection
from lad_mpi.compression.rows import refuse
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Count, Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.compression.base import Channel
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts


@dataclass(frozen=True, slots=True)
class RandK:
    r"""Send k coordinates, chosen at random without replacement for every message.

    Device and server draw the choice from the same keyed stream, so a payload holds only
    the k values, in the order of their indices.

    Parameters
    ----------
    k : int
        Number of coordinates in a message, 1 ≤ k ≤ Q.

    Notes
    -----
    With S the set of chosen coordinates,

    .. math:: C(v)_j = \frac{Q}{k} v_j \, [j \in S], \qquad
              \mathbb{E}\|C(v) - v\|^2 = (Q/k - 1) \|v\|^2.

    The receiver scales by Q/k. A value that overflows is refused as not finite.

    S is drawn by Floyd's algorithm: for j = Q − k, …, Q − 1 a uniform number of 0, …, j
    joins S, or j itself if that number is in S already. This takes k random words. If
    k > Q/2, the Q − k coordinates that are left out are drawn instead. A number is the
    high half of a word times j + 1, and therefore uniform to within Q/2⁶⁴.

    References
    ----------
    Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018,
    arXiv:1809.07599.

    Bentley, Floyd, "Programming pearls: a sample of brilliance", Communications of
    the ACM 30(9), 1987, doi:10.1145/30401.315746.
    """

    k: Annotated[Count, Example(30)]

    kind: ClassVar[str] = "rand_k"
    cost: ClassVar[str] = "b k bytes"
    wire_code: ClassVar[int] = 1
    unbiased: ClassVar[bool] = True
    delta_is_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_parameters(self)

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
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        return kernels.gather_chosen(vectors, self.k, channel).view(np.uint8)

    def decode(self, payloads: HostBytes, channel: Channel) -> tuple[HostFloats, HostInts]:
        """Put the values back, scaled; see :meth:`Codec.decode`."""
        from lad_mpi.compression import kernels  # noqa: PLC0415  (imports Numba)

        factor = channel.dimension / self.k
        vectors, finite = kernels.scatter_chosen(payloads, factor, channel)
        return vectors, refuse(vectors, (~finite, Rejection.NOT_FINITE))

    def encode_on_gpu(self, vectors: Array, channel: Channel, payloads: Array) -> None:
        """Pick the chosen values; see :meth:`GpuCodec.encode_on_gpu`."""
        from lad_mpi.compression.cuda import rand_k  # noqa: PLC0415  (imports Numba)

        rand_k.encode(vectors, self.k, channel, payloads)

    def decode_on_gpu(self, payloads: Array, channel: Channel) -> tuple[Array, HostInts]:
        """Put the values back, scaled; see :meth:`GpuCodec.decode_on_gpu`."""
        from lad_mpi.compression.cuda import rand_k  # noqa: PLC0415  (imports Numba)

        return rand_k.decode(payloads, self.k, channel)
