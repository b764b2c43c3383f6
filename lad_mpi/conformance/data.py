"""Laws of data, read or drawn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lad_mpi.conformance.component import ComponentLaws, moves_no_global_generator
from lad_mpi.conformance.suite import make_suite
from lad_mpi.data import DataPlan, Dataset, DrawnData, PartlyDrawnData, Samples, StoredData
from lad_mpi.rng import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lad_mpi.types import Task

_SUBSETS = 7
_DIGEST = "sha256:[0-9a-f]{64}"


class DataLaws(ComponentLaws):
    """Laws of data, in 7 subsets.

    Attributes
    ----------
    maker : callable
        Builds the data.
    """

    family: ClassVar[str] = "data"
    maker: ClassVar[Callable[[], Any]]

    def example(self) -> Any:
        """Return the data."""
        return type(self).maker()

    def load(self, seed: int = 5, num_subsets: int = _SUBSETS) -> Dataset:
        """Return the data in subsets, as a run uses them."""
        plan = DataPlan(self.example())
        return plan.load(num_subsets, Streams(seed), task=self._task(), has_bias=True)

    def test_read(self) -> None:
        """Reading gives samples in rows, whose values are finite numbers or labels."""
        samples, test = self.example().read()
        _check_samples(samples)
        if test is not None:
            _check_samples(test)
            assert test.shape == samples.shape
            assert test.targets.dtype.kind == samples.targets.dtype.kind

    def test_repeatable(self) -> None:
        """Loading twice with one seed gives the same bits. Each host loads the data separately."""
        _check_equal(self.load(), self.load())

    def test_subsets(self) -> None:
        """The data have the asked number of subsets, each with a sample, in the stated form."""
        data = self.load()
        p, num_classes = data.form.num_features, data.form.num_classes
        assert data.num_subsets == _SUBSETS
        assert data.offsets[0] == 0
        assert data.offsets[-1] == len(data.features) == len(data.targets)
        assert np.diff(data.offsets).min() >= 1
        assert len(data.classes) == num_classes
        for features, targets in (
            (data.features, data.targets),
            (data.test_features, data.test_targets),
        ):
            assert features.shape == (len(targets), p)
            assert features.dtype == np.float64
            assert np.isfinite(features).all()
            if num_classes:
                assert targets.dtype == np.int64
                assert np.isin(targets, np.arange(num_classes)).all()
            else:
                assert targets.dtype == np.float64
                assert np.isfinite(targets).all()

    def test_form(self) -> None:
        """The form and the number of samples that it declares are those of what it draws."""
        example, data = self.example(), self.load()
        assert data.form == example.form
        assert bool(data.form.num_classes) == (example.task == "classification")
        assert set(np.diff(data.offsets)) == {example.samples_per_subset}

    def test_seed(self) -> None:
        """Another seed draws other samples."""
        assert (self.load().features != self.load(seed=6).features).any(axis=1).all()

    def test_streams(self) -> None:
        """Subsets have random streams of their own: a subset is the same if there are more."""
        few, many = self.load(), self.load(num_subsets=2 * _SUBSETS)
        count = few.offsets[-1]
        np.testing.assert_array_equal(few.features, many.features[:count])
        np.testing.assert_array_equal(few.targets, many.targets[:count])

    def test_some_subsets(self) -> None:
        """Subsets that are drawn without the others have the same bits."""
        whole, subsets = self.load(), np.array([0, 3, 4])
        some = self.example().draw_subsets(_SUBSETS, Streams(5), subsets, np.float64)
        for k in subsets:
            rows = slice(whole.offsets[k], whole.offsets[k + 1])
            np.testing.assert_array_equal(some.features[rows], whole.features[rows])
            np.testing.assert_array_equal(some.targets[rows], whole.targets[rows])
        for name in ("offsets", "test_features", "test_targets"):
            np.testing.assert_array_equal(getattr(some, name), getattr(whole, name))

    def test_digest(self) -> None:
        """The digest identifies what is read, for every seed and split.

        It is part of the run's identity. Data that are drawn have none.
        """
        digest = DataPlan(self.example()).digest()
        assert digest == DataPlan(self.example()).digest()
        is_stored = isinstance(self.example(), StoredData)
        assert re.fullmatch(_DIGEST, digest) if is_stored else digest == ""
        for data in (self.load(), self.load(seed=6, num_subsets=3)):
            assert data.digest == digest
            assert bool(data.reading) == is_stored

    def test_global_generators(self) -> None:
        """It neither uses nor seeds a global generator of random numbers."""
        moves_no_global_generator(lambda: self.load().features)

    def _task(self) -> Task:
        example = self.example()
        if isinstance(example, DrawnData):
            return example.task
        samples, _ = example.read()
        return "classification" if samples.targets.dtype.kind == "U" else "regression"


def data(
    cls: type[Any], *, without: Collection[str] = (), make: Callable[[], Any] | None = None
) -> type[DataLaws]:
    """Make the class of tests of data.

    See :mod:`lad_mpi.conformance` for what all such functions take and return.

    Parameters
    ----------
    cls : type
    without : collection of str
    make : callable, optional
        Builds data that can be split into 14 subsets.
    """
    optional = {
        "read": StoredData,
        **dict.fromkeys(("form", "seed", "streams"), DrawnData),
        "some_subsets": PartlyDrawnData,
    }
    return make_suite(DataLaws, cls, without, optional, maker=staticmethod(make or cls))


def _check_samples(samples: Samples) -> None:
    count = len(samples.features)
    assert count > 0
    assert samples.features.dtype == np.float64
    assert samples.features.shape == (count, np.prod(samples.shape))
    assert np.isfinite(samples.features).all()
    assert samples.targets.shape == (count,)
    if samples.targets.dtype.kind != "U":
        assert samples.targets.dtype == np.float64
        assert np.isfinite(samples.targets).all()
    assert re.fullmatch(_DIGEST, samples.digest)
    assert samples.reading
    assert "\n" not in samples.reading


def _check_equal(one: Dataset, other: Dataset) -> None:
    for name in ("features", "targets", "offsets", "test_features", "test_targets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.form == other.form
    assert one.classes == other.classes
