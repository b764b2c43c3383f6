"""Making the groups, datasets and attributes of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lad_mpi.logs import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lad_mpi.logs.log import Axes, FinalState
    from lad_mpi.types import Metric

_CHUNK_ROWS = 512
_CHUNK_BYTES = 2**17
_NOT_A_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:>10}"


class GrowingDataset:
    """A dataset whose first axis grows.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked and without a limit along the first axis.

    Attributes
    ----------
    name : str
        Its path in the file.
    row_shape : tuple of int
        Shape of a row.

    Notes
    -----
    The slices of ``h5py.Dataset`` find out at every call what cannot change here;
    that is three quarters of the time of a flush.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.name: str = dataset.name
        self.row_shape: tuple[int, ...] = dataset.shape[1:]
        self._id = dataset.id
        self._dtype = dataset.dtype
        self._origin = (0,) * len(self.row_shape)

    def put(self, first: int, rows: Any) -> None:
        """Write rows, and let the dataset end with them.

        Parameters
        ----------
        first : int
            Number of the first of them.
        rows : array_like, shape (n, …)
            Of at most ``row_shape``; of what they leave out the fill value stays.
        """
        rows = np.ascontiguousarray(rows, dtype=self._dtype)
        self._id.set_extent((first + len(rows), *self.row_shape))
        if not len(rows):
            return
        place = self._id.get_space()
        place.select_hyperslab((first, *self._origin), rows.shape)
        self._id.write(h5py.h5s.create_simple(rows.shape), place, rows)


def create_growing(file: h5py.File, axes: Axes) -> dict[str, GrowingDataset]:
    """Make the datasets that gain a row with every iteration; return them by their paths."""
    growing: dict[str, GrowingDataset] = {}

    def create(group: h5py.Group, variable: schema.Variable, *scales: h5py.Dataset) -> h5py.Dataset:
        dataset = _create_growing(group, variable, scales)
        growing[dataset.name] = GrowingDataset(dataset)
        return dataset

    def create_iterations(group: h5py.Group) -> h5py.Dataset:
        scale = create(group, schema.ITERATION)
        scale.make_scale(schema.ITERATION.name)
        return scale

    metrics = file.create_group("metrics")
    iteration = create_iterations(metrics)
    for variable in (*map(schema.variable_of, axes.metrics), *schema.COUNTS):
        create(metrics, variable, iteration)
    reasons = _create_scale(metrics, schema.REASON, _strings(schema.REASONS))
    create(metrics, schema.REFUSALS, iteration, reasons)

    timing = file.create_group("timing")
    iteration = create_iterations(timing)
    rank = _create_scale(timing, schema.RANK, np.arange(axes.ranks, dtype=np.int64))
    phase = _create_scale(timing, schema.PHASE, _strings(axes.phases))
    seconds = create(timing, schema.SECONDS, iteration, rank, phase)
    seconds.attrs["training_phases"] = _strings(axes.training_phases)
    seconds.attrs["warmup_iterations"] = axes.warmup_iterations

    traffic = file.create_group("traffic")
    iteration = create_iterations(traffic)
    for variable in schema.TRAFFIC:
        create(traffic, variable, iteration)
    return growing


def create_state(file: h5py.File, state: FinalState, metrics: Sequence[Metric]) -> None:
    """Write the final model and its metrics, of which it may lack some."""
    model = np.asarray(state.model)
    group = file.create_group("state")
    # netCDF's way to name a dimension without storing its values.
    scale = group.create_dataset(schema.PARAMETER.name, shape=model.shape, dtype=">f4")
    scale.make_scale(_NOT_A_VARIABLE.format(model.size))
    _describe(scale, schema.PARAMETER)
    dataset = group.create_dataset(schema.MODEL.name, data=model)
    dataset.dims[0].attach_scale(scale)
    _describe(dataset, schema.MODEL)
    for metric in metrics:
        if metric.name in state.metrics:
            value = np.float64(state.metrics[metric.name])
            dataset = group.create_dataset(metric.name, data=value)
            _describe(dataset, schema.variable_of(metric))


def write_attributes(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write str, int, float, bool, arrays and lists of str as attributes.

    Raises
    ------
    TypeError
        A value is of another type.
    """
    for key, value in values.items():
        group.attrs[key] = _attribute(key, value)


def text(value: str) -> str:
    """Return what HDF5 can hold of a text: UTF-8 up to the first NUL.

    Bytes of names and of the environment that are not UTF-8 are written as escapes.
    """
    whole = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return whole.encode("utf-8", "backslashreplace").decode("utf-8")


def _create_growing(
    group: h5py.Group, variable: schema.Variable, scales: Sequence[h5py.Dataset]
) -> h5py.Dataset:
    width = tuple(len(scale) for scale in scales[1:])
    row_bytes = 8 * int(np.prod(width, dtype=np.int64))
    rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(1, row_bytes)))
    fill = np.nan if variable.dtype == "float64" else schema.NO_ITERATION
    dataset = group.create_dataset(
        variable.name,
        shape=(0, *width),
        maxshape=(None, *width),
        chunks=(rows, *(max(1, size) for size in width)),
        dtype=variable.dtype,
        fillvalue=fill,
    )
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)
    _describe(dataset, variable)
    return dataset


def _create_scale(
    group: h5py.Group, variable: schema.Variable, values: np.ndarray[Any, Any]
) -> h5py.Dataset:
    scale = group.create_dataset(variable.name, data=values)
    scale.make_scale(variable.name)
    _describe(scale, variable)
    return scale


def _describe(dataset: h5py.Dataset, variable: schema.Variable) -> None:
    dataset.attrs["units"] = variable.units
    dataset.attrs["long_name"] = variable.long_name
    for key, value in variable.attributes.items():
        dataset.attrs[key] = value


def _attribute(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        value = value.tolist()
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return _strings(value)
    raise TypeError(f"{key} must be str, int, float, bool or a list of str, not {value!r}")


def _strings(values: Sequence[str]) -> np.ndarray[Any, Any]:
    return np.array([text(value) for value in values], dtype=h5py.string_dtype())
