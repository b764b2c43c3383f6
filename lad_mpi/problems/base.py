"""What a learning problem offers to the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from lad_mpi.arrays import Backend
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostInts


@dataclass(frozen=True, slots=True)
class GradientWork:
    """The least work that the gradient of one subset takes.

    Parameters
    ----------
    samples : int
        m, samples of a subset.
    operations : float
        Floating-point operations.
    numbers : float
        Numbers of the subset's data that are read.
    product : {"gemm", "gemv"}
        Kernel whose measured rate bounds the rate of the operations: products of two
        matrices, or of a matrix and a vector, which are slower.
    """

    samples: int
    operations: float
    numbers: float
    product: Literal["gemm", "gemv"] = "gemm"


@runtime_checkable
class ProblemData(Protocol):
    """A problem with its data in the memory of one backend.

    The global loss is F(x) = (1/N) Σ_k f_k(x) over the N subsets.
    """

    @property
    def num_subsets(self) -> int:
        """N, the number of data subsets."""

    @property
    def dimension(self) -> int:
        """Q, the number of model parameters."""

    @property
    def num_samples(self) -> int:
        """Number of samples in all subsets together."""

    @property
    def optimum(self) -> Array | None:
        """A minimiser of F, shape (Q,), float64 on the host; None if it is not known."""

    @property
    def digest(self) -> str:
        """The result of :meth:`Problem.digest` for the data that were loaded."""

    @property
    def reading(self) -> str:
        """How the data were read, in a line for the log; empty if nothing is read."""

    def initial_model(self) -> Array:
        """Return the model that training starts from, shape (Q,), in the backend's dtype."""

    def gradients(self, model: Array, subsets: HostInts, out: Array) -> None:
        """Write ∇f_k(model) for each named subset.

        Row i must have the same bits whatever the other rows are. Otherwise results would
        depend on the number of ranks.

        Parameters
        ----------
        model : array, shape (Q,)
            The point x.
        subsets : ndarray of int64, shape (n,)
            Subset numbers, repetitions allowed.
        out : array, shape (n, Q)
            Receives the gradients.
        """

    def loss(self, model: Array) -> float:
        """Return F(model)."""


@runtime_checkable
class Problem(Protocol):
    """A frozen description of a problem, from which its data are made."""

    kind: ClassVar[str]

    def load(self, num_subsets: int, streams: Streams, backend: Backend) -> ProblemData:
        """Make or read the data and split them into ``num_subsets`` subsets.

        Raises
        ------
        DataError
            The data cannot be read, or cannot be split into that many subsets.
        """

    def digest(self) -> str:
        """Identify the content of the data that are read, as ``"sha256:…"``.

        It depends only on the values that are read, not on the name or format of a file,
        the seed, or the number of subsets. It is empty if all data are drawn from the
        seed. It may be called often, so an implementation should remember the digest of
        an unchanged file.

        Raises
        ------
        DataError
            The data cannot be read.
        """


@runtime_checkable
class SizedProblem(Problem, Protocol):
    """A problem whose dimension may be known before its data are read."""

    @property
    def declared_dimension(self) -> int | None:
        """Q, or None if it is only known once the data are read."""


@runtime_checkable
class CountedProblem(SizedProblem, Protocol):
    """A problem that declares how much work a gradient is.

    Bounds and forecasts of the compute phase use it.
    """

    @property
    def gradient_work(self) -> GradientWork | None:
        """The work on each subset; None if it is only known once the data are read."""
