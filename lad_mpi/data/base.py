"""What data offer: samples, read or drawn, and the form in which a model is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from lad_mpi.types import Task  # noqa: TC001  (types of class variables are read at run time)

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts, SampleForm


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Samples as they were read, before they are prepared and split.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        One row a sample. Images are flattened, and scaled to [0, 1].
    targets : ndarray of float64, or of str, shape (n,)
        What to predict: numbers, or labels in any form. Labels that are texts are only
        accepted by models that classify.
    shape : tuple of int
        Shape of the features of one sample, (28, 28) for an image; (p,) for a table.
    reading : str
        How the data were read, in one line for the log.
    digest : str
        ``"sha256:"`` and 64 hexadecimal digits: identifies the values.
    """

    features: HostFloats
    targets: npt.NDArray[Any]
    shape: tuple[int, ...]
    reading: str
    digest: str

    @property
    def are_images(self) -> bool:
        """Whether a sample has more than one axis."""
        return len(self.shape) > 1


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples as a model is trained on them, grouped by subset, in host memory.

    Parameters
    ----------
    features : ndarray of float64, shape (n, p)
        One row a sample, those of subset 0 first.
    targets : ndarray of float64 or int64, shape (n,)
        Numbers to predict (float64), or class numbers 0…C−1 (int64).
    offsets : ndarray of int64, shape (N + 1,)
        Subset k has the rows ``offsets[k]`` to ``offsets[k + 1]``, at least one.
    form : SampleForm
        Shape of a sample and number of classes.
    test_features, test_targets : ndarray
        The samples for testing, in the same form; of length 0 if there are none.
    classes : tuple of str
        Names of the classes in the order of their numbers; empty for regression.
    reading, digest : str
        See :class:`Samples`; empty if the data were drawn.
    """

    features: HostFloats
    targets: npt.NDArray[Any]
    offsets: HostInts
    form: SampleForm
    test_features: HostFloats
    test_targets: npt.NDArray[Any]
    classes: tuple[str, ...] = ()
    reading: str = ""
    digest: str = ""

    @property
    def num_subsets(self) -> int:
        """N, the number of subsets."""
        return len(self.offsets) - 1


@runtime_checkable
class StoredData(Protocol):
    """Samples that exist before a run: bundled with a package, or in files.

    The suite prepares them and splits them into subsets, as the other keys of ``[data]`` say.
    """

    kind: ClassVar[str]

    def read(self) -> tuple[Samples, Samples | None]:
        """Return the samples, and separate samples for testing if there are any.

        Raises
        ------
        DataError
            The data cannot be read.
        """

    def digest(self) -> str:
        """Identify the content of the data, as ``"sha256:…"``.

        It depends only on the values that are read, not on the name or format of a file. It
        may be called often, so an implementation should remember the digest of an unchanged
        file.

        Raises
        ------
        DataError
            The data cannot be read.
        """


@runtime_checkable
class DrawnData(Protocol):
    """Data that are drawn from the seed, already in subsets."""

    kind: ClassVar[str]

    #: What the targets are.
    task: ClassVar[Task]

    def draw(self, num_subsets: int, streams: Streams) -> Dataset:
        """Draw the samples of each subset.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams. Each subset should have one of its own.
        """

    @property
    def form(self) -> SampleForm:
        """Shape of a sample and number of classes."""

    @property
    def samples_per_subset(self) -> int:
        """m, the number of samples of each subset."""


@runtime_checkable
class PartlyDrawnData(DrawnData, Protocol):
    """Data that are drawn, whose subsets can be drawn without the others.

    A host whose devices always hold the same subsets then draws only these.
    """

    def draw_subsets(
        self, num_subsets: int, streams: Streams, subsets: HostInts, dtype: npt.DTypeLike
    ) -> Dataset:
        """Draw the samples of some subsets, with the same bits as :meth:`DrawnData.draw`.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        subsets : ndarray of int64
            The subsets to draw, from 0 to N−1.
        dtype : dtype
            Type of the features in the run. They may have another type.

        Returns
        -------
        Dataset
            With the rows of all subsets. Those of other subsets hold any numbers. If they are
            not written, they take no memory.
        """
