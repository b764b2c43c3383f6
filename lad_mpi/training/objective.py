"""What is minimised: a model on a data set, and the gradients that devices compute."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.metrics.moments import Moments
from lad_mpi.models import LinearFunctions, SolvableFunctions
from lad_mpi.rng import Purpose
from lad_mpi.training.batches import Batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.arrays import Backend
    from lad_mpi.data import Dataset
    from lad_mpi.models import ModelFunctions
    from lad_mpi.rng import Streams
    from lad_mpi.types import Array, HostBools, HostFloats, HostInts

#: Numbers of features that are gathered at once, so that a stack of batches stays in the cache.
_AT_ONCE = 2**18
#: Numbers of features that are gathered at most, so that memory does not grow with the load.
_MOST = 2**22
#: Larger batches of linear models are not gathered. Less would not pay for importing Numba.
_COPIED = 2**19
#: Samples that are listed at once.
_LISTED = 2**16
#: Samples of a block in which the test set is evaluated.
_TEST_BLOCK = 256


class Objective:
    r"""The loss F of a model on a data set, in the memory of one backend.

    Parameters
    ----------
    dataset : Dataset
        The samples, grouped by subset, in the dtype of the backend.
    functions : ModelFunctions
        The model.
    backend : Backend
        Array library and dtype.
    streams : Streams
        The run's random streams, from which batches are drawn.
    batch_size : int, optional
        b, the number of samples of a subset in an iteration; all of them if None.
    l2 : float
        Strength of the penalty.
    corrupted : ndarray, shape (n,), optional
        The targets on which Byzantine devices train.
    held : ndarray of int64, optional
        The subsets whose samples are in memory; all if left out.

    Notes
    -----
    F(x) = (1/N) Σ_k f_k(x), and f_k is the mean loss over the samples of subset k plus
    (l2/2) ‖x‖².

    A batch belongs to its subset: all devices that hold subset k in iteration t use the same
    samples of it. A device computes one weighted gradient over the batches of all its subsets.
    Its bits only depend on its own subsets, batches and weights, so they do not depend on the
    number of ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        functions: ModelFunctions,
        backend: Backend,
        *,
        streams: Streams,
        batch_size: int | None = None,
        l2: float = 0.0,
        corrupted: Array | None = None,
        held: HostInts | None = None,
    ) -> None:
        self.functions = functions
        self.dimension = functions.dimension
        self.num_subsets = dataset.num_subsets
        self.num_samples = len(dataset.targets)
        self.num_test_samples = len(dataset.test_targets)
        self._backend = backend
        self._offsets = dataset.offsets
        self._batches = Batches(dataset.offsets, batch_size, streams)
        self._l2 = l2
        # isinstance on a protocol costs more than a small gradient, so check once.
        self._linear = functions if isinstance(functions, LinearFunctions) else None
        # Memory that is touched for the first time is slow, so batches are gathered in this one.
        self._scratch = np.empty(0, dtype=backend.dtype)
        # The last entry stands for padding.
        self._is_held = np.zeros(self.num_subsets + 1, dtype=bool)
        self._is_held[... if held is None else held] = True
        self._is_held[-1] = True
        self._features = self._taken(dataset.features)
        self._targets = self._taken(dataset.targets)
        self._corrupted = None if corrupted is None else self._taken(corrupted)
        self._test = self._taken(dataset.test_features), self._taken(dataset.test_targets)

    @property
    def uses_batches(self) -> bool:
        """Whether some subset has more samples than a batch."""
        return self._batches.are_drawn

    @property
    def num_test_blocks(self) -> int:
        """Number of blocks in which the test set is evaluated; 0 without a test set."""
        return -(-self.num_test_samples // _TEST_BLOCK)

    def optimum(self) -> HostFloats | None:
        """Return the minimiser of F, float64, shape (Q,), on the host; None if not known."""
        if not isinstance(self.functions, SolvableFunctions):
            return None
        sizes = np.diff(self._offsets)
        weights = np.repeat(1.0 / (len(sizes) * sizes), sizes)
        return self.functions.optimum(self._features, self._targets, weights)

    def initial_model(self, streams: Streams) -> Array:
        """Return the model that training starts from, shape (Q,)."""
        generator = streams.generator(Purpose.MODEL)
        return self._backend.asarray(self.functions.initial_model(generator)).copy()

    def coded_gradients(
        self,
        model: Array,
        subsets: HostInts,
        weights: HostFloats,
        out: Array,
        *,
        iteration: int | None,
        corrupted: HostBools | None = None,
    ) -> None:
        """Write Σ_j w_ij ∇f_{subsets[i, j]}(model) for each device i.

        Parameters
        ----------
        model : array, shape (Q,)
            The model x.
        subsets : ndarray of int64, shape (n, d)
            Subset numbers; -1 pads rows at the end.
        weights : ndarray of float64, shape (n, d) or (n, 1)
            The weights of the code.
        out : array, shape (n, Q)
            Receives the coded vectors; its rows may lie apart.
        iteration : int or None
            Iteration whose batches are used; None for all samples.
        corrupted : ndarray of bool, shape (n,), optional
            Devices that train on the corrupted targets.

        Raises
        ------
        RuntimeError
            The samples of a subset are not in memory.
        """
        if not self._is_held[subsets].all():
            raise RuntimeError("the samples of a subset are not in the memory of this host")
        weights = np.broadcast_to(weights, subsets.shape)
        # A run that diverges shows it in its values, not in warnings on every rank.
        with np.errstate(over="ignore", invalid="ignore"):
            for rows, samples, scales in self._stacks(subsets, weights, iteration):
                wrong = None if corrupted is None else corrupted[rows]
                self._add_up(model, samples, scales, wrong, out[rows])
            if self._l2:
                total = np.where(subsets >= 0, weights, 0).sum(axis=1, keepdims=True)
                scales = self._backend.asarray(self._l2 * total)
                step = max(1, _AT_ONCE // self.dimension)
                for first in range(0, len(out), step):
                    out[first : first + step] += scales[first : first + step] * model

    def _add_up(
        self,
        model: Array,
        samples: HostInts,
        scales: HostFloats,
        corrupted: HostBools | None,
        out: Array,
    ) -> None:
        """Write the weighted gradient of each row of samples, a part of a long row at a time."""
        if not samples.shape[1]:
            out[...] = 0
            return
        if self._linear is not None and self._is_in_place(samples.shape[1]):
            # Only for such batches, because it imports Numba.
            from lad_mpi.models.kernels import combine, products  # noqa: PLC0415

            factors = self._linear.slopes(
                products(self._features, samples, model),
                self._targets_of(samples, corrupted),
                self._backend.asarray(scales),
            )
            combine(self._features, samples, factors, out)
            return
        part = out
        for number, columns in enumerate(self._parts(samples.shape[1])):
            chosen = samples[:, columns]
            if number == 1:
                part = self._backend.xp.empty(out.shape, dtype=out.dtype)
            self.functions.gradients(
                model,
                self._gathered(chosen),
                self._targets_of(chosen, corrupted),
                self._backend.asarray(scales[:, columns]),
                part,
            )
            if number:
                out += part

    def _add_measures(
        self, model: Array, samples: HostInts, scales: HostFloats, sums: Array
    ) -> None:
        """Add the loss of each row of samples, and the sums of its other metrics."""
        stack, targets = self._gathered(samples), self._targets_of(samples)
        found = self.functions.measure(model, stack, targets)
        shares = self._backend.asarray(scales, dtype=np.float64)
        sums[:, 0] += (found[0] * shares).sum(axis=1)
        # Padding has the weight zero.
        sums[:, 1:] += (found[1:] * (shares > 0)).sum(axis=2).T

    def _parts(self, size: int) -> list[slice]:
        """Cut the samples of a row into parts that take little memory."""
        step = max(1, _MOST // int(self._features.shape[1]))
        return [slice(first, first + step) for first in range(0, size, step)]

    def moments(self, model: Array, first: int, stop: int, iteration: int | None) -> Moments:
        """Return gradient, loss and other measures of some subsets, one group each.

        Parameters
        ----------
        model : array, shape (Q,)
            The model x.
        first, stop : int
            The subsets, ``range(first, stop)``.
        iteration : int or None
            Iteration whose batches are used; the sums are then empty. None for all samples.

        Returns
        -------
        Moments
            The sums are f_k without the penalty, and the sums of the model's other metrics
            over the samples of subset k.
        """
        subsets = np.arange(first, stop, dtype=np.int64)[:, None]
        shape = (stop - first, self.dimension)
        rows = self._backend.xp.empty(shape, dtype=self._backend.dtype)
        self.coded_gradients(model, subsets, np.ones((1, 1)), rows, iteration=iteration)
        count = len(self.functions.metrics) if iteration is None else 0
        sums = self._backend.xp.zeros((stop - first, count))
        if iteration is None:
            with np.errstate(over="ignore", invalid="ignore"):
                for group, samples, scales in self._stacks(subsets, np.ones(subsets.shape), None):
                    for columns in self._parts(samples.shape[1]):
                        self._add_measures(
                            model, samples[:, columns], scales[:, columns], sums[group]
                        )
        return Moments.of_rows(rows, sums)

    def test_sums(self, model: Array, block: int) -> HostFloats:
        """Return the sums of the model's metrics over a block of the test set, float64."""
        rows = slice(block * _TEST_BLOCK, (block + 1) * _TEST_BLOCK)
        features, targets = (part[rows][None] for part in self._test)
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.functions.measure(model, features, targets).sum(axis=(1, 2))
        return np.array([float(value) for value in found])

    def penalty(self, squared_norm: float) -> float:
        """Return the penalty at a model of this squared norm."""
        return self._l2 / 2 * squared_norm

    def _stacks(
        self, subsets: HostInts, weights: HostFloats, iteration: int | None
    ) -> Iterator[tuple[slice, HostInts, HostFloats]]:
        """Yield stacks of batches: the rows, their samples and the weights of the samples.

        All batches of a stack have the same number of samples. The stack is small enough for
        the cache, or its batches are not copied.
        """
        batches = self._batches.of(iteration, subsets)
        sizes = batches.sizes(subsets)
        start = 0
        for size, group in groupby(sizes.tolist()):
            stop = start + len(list(group))
            listed = max(1, _LISTED // max(1, size))
            step = max(1, _AT_ONCE // max(1, size * int(self._features.shape[1])))
            if self._is_in_place(size):
                step = listed
            for first in range(start, stop, listed):
                last = min(first + listed, stop)
                listing = slice(first, last)
                samples, scales = batches.samples(subsets[listing], weights[listing], size)
                for begin in range(0, last - first, step):
                    part = slice(begin, min(begin + step, last - first))
                    yield slice(first + part.start, first + part.stop), samples[part], scales[part]
            start = stop

    def _is_in_place(self, size: int) -> bool:
        """Return whether gradients over so many samples are computed where these lie."""
        large = size * int(self._features.shape[1]) > _COPIED
        return large and self._linear is not None and self._backend.on_host

    def _gathered(self, samples: HostInts) -> Array:
        """Return the features of samples, valid until the next call."""
        if not self._backend.on_host:
            return self._take(self._features, samples)
        shape = (*samples.shape, self._features.shape[1])
        size = math.prod(shape)
        if size > len(self._scratch):
            self._scratch = np.empty(size, dtype=self._features.dtype)
        out = self._scratch[:size].reshape(shape)
        # With mode "raise", NumPy would gather in a copy of the output.
        return np.take(self._features, samples, axis=0, out=out, mode="clip")

    def _take(self, array: Array, samples: HostInts) -> Array:
        if self._backend.on_host:
            # Faster than indexing with an array.
            return np.take(array, samples, axis=0)
        return array[self._backend.xp.asarray(samples)]

    def _targets_of(self, samples: HostInts, corrupted: HostBools | None = None) -> Array:
        targets = self._take(self._targets, samples)
        if corrupted is not None and self._corrupted is not None and corrupted.any():
            rows = self._backend.xp.asarray(np.flatnonzero(corrupted))
            targets[rows] = self._take(self._corrupted, samples[corrupted])
        return targets

    def _taken(self, values: Array) -> Array:
        kind = np.int64 if values.dtype.kind == "i" else self._backend.dtype
        return self._backend.asarray(values, dtype=kind)
