"""From samples to subsets: how ``[data]`` prepares, splits and groups its samples."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Le, Lt

from lad_mpi.data.base import Dataset, DrawnData, PartlyDrawnData, StoredData
from lad_mpi.data.partition import PartitionKind, partition
from lad_mpi.data.prepare import class_numbers, numbers, standardize
from lad_mpi.data.samples import joint_digest
from lad_mpi.errors import DataError, ParameterError
from lad_mpi.parameters import Example, Positive, check_parameters
from lad_mpi.rng import Purpose
from lad_mpi.types import SampleForm

if TYPE_CHECKING:
    import numpy.typing as npt

    from lad_mpi.data.base import Samples
    from lad_mpi.rng import Streams
    from lad_mpi.types import HostFloats, HostInts, Task

_CONCENTRATION = 1.0
#: Share of the samples for testing if the model classifies.
_TEST_FRACTION = 0.2
_Share: TypeAlias = Annotated[float, Ge(0), Le(1)]
_ShareForTests: TypeAlias = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, slots=True)
class DataPlan:
    """Data, and how their samples are prepared and split into subsets.

    Parameters
    ----------
    source : StoredData or DrawnData
        The samples.
    partition : {"shuffled", "sorted", "dirichlet", "similarity"}, optional
        How samples that are read are split into subsets: at random; by target; the samples of
        each label, or of each tenth of the targets, in proportions drawn from a Dirichlet
        distribution; or a random share evenly and the rest by target. At random if left out.
    concentration : float, optional
        Parameter of the Dirichlet distribution of ``partition = "dirichlet"``; 1 if left
        out. A smaller one makes the subsets less alike.
    similarity : float, optional
        Share of the samples that ``partition = "similarity"`` splits at random.
    test_fraction : float, optional
        Share of the samples that are kept for testing, drawn at random for each seed. If left
        out: 0.2 for a model that classifies, else 0. Data with test samples of their own keep
        those.
    standardize : bool, optional
        Whether features that are read are shifted and scaled to mean 0 and variance 1 over the
        training samples. Constant features become 0. Targets are not changed. If left out:
        yes, except for images.
    intercept : bool, optional
        Whether samples that are read get a last feature that is 1 everywhere. If left out:
        yes, unless the model has constant terms.

    Raises
    ------
    ParameterError
        A parameter is out of range, or would have no effect.
    """

    source: StoredData | DrawnData
    partition: Annotated[PartitionKind | None, Example("sorted")] = None
    concentration: Annotated[Positive | None, Example(0.3)] = None
    similarity: Annotated[_Share | None, Example(0.1)] = None
    test_fraction: Annotated[_ShareForTests | None, Example(0.2)] = None
    standardize: Annotated[bool | None, Example(True)] = None
    intercept: Annotated[bool | None, Example(True)] = None

    def __post_init__(self) -> None:
        """Refuse values out of range, and parameters that would have no effect."""
        check_parameters(self)
        if isinstance(self.source, DrawnData):
            self._refuse_keys_of_stored_data(self.source.kind)
            return
        # The log must name what is used.
        object.__setattr__(self, "partition", self.partition or "shuffled")
        for name, owner in (("concentration", "dirichlet"), ("similarity", "similarity")):
            if getattr(self, name) is not None and self.partition != owner:
                raise ParameterError(
                    name, f'belongs to partition = "{owner}", and partition is "{self.partition}"'
                )
        if self.partition == "similarity" and self.similarity is None:
            raise ParameterError(
                "similarity",
                'must be set with partition = "similarity"',
                hint="set similarity to the share of the samples that is split at random, from 0 "
                "(sorted) to 1",
            )
        if self.partition == "dirichlet" and self.concentration is None:
            object.__setattr__(self, "concentration", _CONCENTRATION)

    def load(
        self,
        num_subsets: int,
        streams: Streams,
        *,
        task: Task,
        has_bias: bool,
        subsets: HostInts | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> Dataset:
        """Draw or read the samples, prepare them, and split them into subsets.

        Parameters
        ----------
        num_subsets : int
            N.
        streams : Streams
            The run's random streams.
        task : {"regression", "classification"}
            What the model learns.
        has_bias : bool
            Whether the model has constant terms.
        subsets : ndarray of int64, optional
            The subsets that are used; all if left out. Others are not drawn if the data allow
            that.
        dtype : dtype
            Type of the features in the run. Data may already have it.

        Raises
        ------
        DataError
            The data cannot be read, do not fit the task, or have fewer samples than subsets.
        """
        if isinstance(self.source, DrawnData):
            _check_task(self.source, task)
            whole = subsets is None and np.dtype(dtype) == np.float64
            if isinstance(self.source, PartlyDrawnData) and not whole:
                wanted = np.arange(num_subsets) if subsets is None else subsets
                return self.source.draw_subsets(num_subsets, streams, wanted, dtype)
            return self.source.draw(num_subsets, streams)
        return self._read(self.source, num_subsets, streams, task, has_bias=has_bias)

    def digest(self) -> str:
        """Identify the samples as read, before they are standardized or split.

        Returns
        -------
        str
            ``"sha256:…"``; empty for data that are drawn.

        Raises
        ------
        DataError
            The data cannot be read.
        """
        return "" if isinstance(self.source, DrawnData) else self.source.digest()

    def form(self, task: Task) -> SampleForm | None:
        """Return the form of the samples that :meth:`load` gives; None before they are read.

        Parameters
        ----------
        task : {"regression", "classification"}
            What the model learns.

        Raises
        ------
        DataError
            The data do not fit the task.
        """
        if not isinstance(self.source, DrawnData):
            return None
        _check_task(self.source, task)
        return self.source.form

    @property
    def samples_per_subset(self) -> int | None:
        """m, the number of samples of each subset; None before they are read."""
        return self.source.samples_per_subset if isinstance(self.source, DrawnData) else None

    def _read(
        self,
        source: StoredData,
        num_subsets: int,
        streams: Streams,
        task: Task,
        *,
        has_bias: bool,
    ) -> Dataset:
        samples, test = source.read()
        targets, test_targets, classes = _encoded(samples, test, task)
        train, held_out = self._split(len(targets), test, streams, task)
        if len(train) < num_subsets:
            raise DataError(
                f"[data] has {len(train)} training samples, too few for {num_subsets} subsets of "
                "at least one",
                hint=f"set devices.count to {len(train)} or less"
                + (f"; {len(held_out)} samples are kept for tests, see test_fraction in [data]")
                * bool(len(held_out)),
            )
        split = partition(
            targets[train],
            num_subsets,
            streams,
            kind=self.partition or "shuffled",
            concentration=self.concentration or _CONCENTRATION,
            similarity=self.similarity or 0.0,
            num_classes=len(classes),
        )
        features = samples.features[train[split.order]]
        if test is None or test_targets is None:
            test_features, test_targets = samples.features[held_out], targets[held_out]
        else:
            test_features = test.features.copy()
        digest, notes, shape = joint_digest(samples, test), [samples.reading], samples.shape
        is_table = not samples.are_images
        # From here on the samples are in memory once.
        del samples, test
        if is_table if self.standardize is None else self.standardize:
            standardize(features, test_features)
            notes.append("standardized")
        if not has_bias if self.intercept is None else self.intercept:
            features, test_features = map(_with_ones, (features, test_features))
            notes.append("intercept")
            shape = (features.shape[1],)
        notes.append(
            f"{len(test_targets)} test samples" if len(test_targets) else "no test samples"
        )
        return Dataset(
            features,
            targets[train[split.order]],
            split.offsets,
            SampleForm(shape, len(classes)),
            test_features,
            test_targets,
            classes,
            ", ".join(notes),
            digest,
        )

    def _split(
        self, count: int, test: Samples | None, streams: Streams, task: Task
    ) -> tuple[HostInts, HostInts]:
        """Return the numbers of the samples for training, and of those kept for testing."""
        everything = np.arange(count, dtype=np.int64)
        if test is not None:
            if self.test_fraction is not None:
                raise DataError(
                    f"[data]: test_fraction has no effect, because {self.source.kind!r} has test "
                    "samples of its own",
                    hint="leave out test_fraction, or test_path",
                )
            return everything, everything[:0]
        fraction = self.test_fraction
        if fraction is None:
            fraction = _TEST_FRACTION if task == "classification" else 0.0
        if not fraction:
            return everything, everything[:0]
        shuffled = streams.permutation(Purpose.TEST_SPLIT, 0, count)
        num_tests = min(count - 1, max(1, round(fraction * count)))
        return np.sort(shuffled[num_tests:]), np.sort(shuffled[:num_tests])

    def _refuse_keys_of_stored_data(self, kind: str) -> None:
        for field in fields(self):
            if field.name == "source" or getattr(self, field.name) == field.default:
                continue
            hint = f"leave {field.name} out, or set kind to data that are read"
            if field.name == "test_fraction":
                hint = "set test_samples to the number of test samples instead"
            raise ParameterError(
                field.name,
                f"has no effect on data that are drawn, and kind is {kind!r}",
                hint=hint,
            )


def _check_task(source: DrawnData, task: Task) -> None:
    if source.task != task:
        wanted = "a regression model" if source.task == "regression" else "a model that classifies"
        raise DataError(
            f"[data]: {source.kind!r} is for {source.task}, and the model is for {task}",
            hint=f"use other data, or {wanted} in [model]",
        )


def _encoded(
    samples: Samples, test: Samples | None, task: Task
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, tuple[str, ...]]:
    """Return the targets as the model needs them, those of the tests, and the classes."""
    if test is not None and test.shape != samples.shape:
        raise DataError(
            f"[data]: a test sample has features of shape {test.shape}, and a training sample of "
            f"shape {samples.shape}",
            hint="both must have the same features in the same order",
        )
    test_targets = None if test is None else test.targets
    if task == "classification":
        return class_numbers(samples.targets, test_targets)
    if test_targets is not None:
        test_targets = numbers(test_targets)
    return numbers(samples.targets), test_targets, ()


def _with_ones(features: HostFloats) -> HostFloats:
    return np.column_stack([features, np.ones(len(features))])
