"""Writing a log, on rank 0, so that a killed run leaves a readable file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from lad_mpi.errors import LadError, RunFailedError, UsageError
from lad_mpi.logs import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from lad_mpi.types import HostFloats

_ON_ITERATION = ("metrics", "timing", "traffic")
_CHUNK_ROWS = 512
_CHUNK_BYTES = 2**17
_NOT_A_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:>10}"


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What is known of a run before it starts.

    Parameters
    ----------
    name : str
        Label of the method.
    spec_toml : str
        The resolved spec.
    spec_hash : str
        Its content hash.
    provenance : mapping
        Where and with what the run was made; flat, of str, int, float, bool and
        lists of str.
    """

    name: str
    spec_toml: str
    spec_hash: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class LogBlock:
    """Records of n consecutive iterations.

    Parameters
    ----------
    first_iteration : int
        Iteration of the first row.
    metrics : dict of ndarray, shape (n,)
        One array for every name in :data:`~lad_mpi.logs.schema.METRICS`.
    seconds : ndarray of float64, shape (n, ranks, phases)
        Times; NaN where a rank has no such phase.
    traffic : dict of ndarray, shape (n,)
        One array for every name in :data:`~lad_mpi.logs.schema.TRAFFIC`.
    """

    first_iteration: int
    metrics: Mapping[str, Any]
    seconds: HostFloats
    traffic: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FinalState:
    """The model after the last update.

    Parameters
    ----------
    model : ndarray, shape (Q,), float32 or float64
        The model.
    loss, gradient_norm, distance_to_optimum : float
        Its errors; NaN where they are not known.
    """

    model: HostFloats
    loss: float
    gradient_norm: float
    distance_to_optimum: float


class LogWriter:
    """An open log.

    Used as a context manager it marks the log as failed, with the message,
    when an exception leaves the block, and as interrupted on Ctrl-C.

    Parameters
    ----------
    path : Path
        The file; missing folders are made.
    header : RunHeader
        Name, spec and provenance.
    ranks : int
        Number of ranks, P.
    phases : sequence of str
        Names of the phases, in the order of :attr:`LogBlock.seconds`.
    training_phases : sequence of str
        Those that count as training time.
    dimension : int
        Q, number of model parameters.
    dtype : numpy.dtype
        Of the model.
    swmr : bool
        Write in HDF5's single-writer/multiple-readers mode, so that the file can
        be read while it grows and after a kill at any moment. Without it a kill
        in the middle of a write may lose the file.
    overwrite : bool
        Replace an existing file. The old one stays until the new one is there.
    warmup_iterations : int
        Leading iterations that are marked as warm-up in the timing.

    Raises
    ------
    UsageError
        The file exists and ``overwrite`` is not set, or cannot be created.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: RunHeader,
        ranks: int,
        phases: Sequence[str],
        training_phases: Sequence[str],
        dimension: int,
        dtype: np.dtype[Any],
        swmr: bool = True,
        overwrite: bool = False,
        warmup_iterations: int = schema.WARMUP_ITERATIONS,
    ) -> None:
        if not set(training_phases) <= set(phases):
            raise ValueError(f"training_phases {training_phases} are not all in {phases}")
        self.path = Path(path)
        self._shape = (ranks, len(phases))
        self._model = ((dimension,), np.dtype(dtype))
        # Without SWMR the older format is the safer one: it has no mark of an
        # open file, which would make a killed one unreadable.
        self._libver = "latest" if swmr else "v108"
        self._rows = 0
        self._growing: dict[str, h5py.Dataset] = {}
        if self.path.exists() and not overwrite:
            raise UsageError(
                f"{self.path} exists already",
                hint="give another output with -o, or replace it with --overwrite",
            )
        draft = self._place = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(draft, "w", libver=self._libver)
            self._write_attributes(header)
            self._create_metrics()
            self._create_timing(ranks, phases, training_phases, warmup_iterations)
            self._create_traffic()
            self._file.flush()
            self._place = draft.replace(self.path)
            if swmr:
                self._file.swmr_mode = True
        except BaseException as error:
            self._abandon()
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            if not isinstance(error, (OSError, RuntimeError)):
                raise
            raise UsageError(
                f"cannot create the log {self.path}: {_reason(error)}",
                hint="give an output in a folder that can be written with -o",
            ) from error

    def append(self, block: LogBlock) -> None:
        """Write the rows of consecutive iterations and flush them.

        Raises
        ------
        ValueError
            The block does not follow the last one, or does not have the log's shape.
        RunFailedError
            The file cannot be written, for instance because the disk is full.
        """
        rows = len(block.seconds)
        columns = self._columns(block, rows)
        iterations = np.arange(self._rows, self._rows + rows)
        scales = {f"/{group}/{schema.ITERATION.name}": iterations for group in _ON_ITERATION}
        with self._writing():
            self._extend(columns)
            # Only when the rows are safe do the scales say that they are there.
            self._extend(scales)
        self._rows += rows

    def finish(self, status: str, *, failure: str = "", state: FinalState | None = None) -> None:
        """Close the log with the outcome of the run.

        Parameters
        ----------
        status : {"complete", "interrupted", "failed"}
            The outcome.
        failure : str
            Why it failed or was interrupted.
        state : FinalState, optional
            The last model; a complete run must give it.

        Raises
        ------
        ValueError
            The status is none of these, a complete run has no state, or the model is
            not of the log's shape and dtype.
        RunFailedError
            The file cannot be written.
        """
        if status not in schema.STATUSES[1:]:
            raise ValueError(f"status must be one of {schema.STATUSES[1:]}, not {status!r}")
        if status == "complete" and state is None:
            raise ValueError("a complete run must give its final state")
        if state is not None and (state.model.shape, state.model.dtype) != self._model:
            raise ValueError(
                f"the final model must be {self._model}, "
                f"not {(state.model.shape, state.model.dtype)}"
            )
        with self._writing():
            # Neither new datasets nor attributes may be written in SWMR mode.
            self._file.close()
            self._file = h5py.File(self.path, "r+", libver=self._libver)
            if state is not None:
                self._write_state(state)
            self._file.attrs["failure"] = _text(failure)
            self._file.attrs["status"] = status
            # A flush may fail and leave a file that can be closed; a close may not.
            self._file.flush()
            self._file.close()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Mark a log that was not finished with what ended it."""
        if not self._file:
            return
        if error is None:
            self.finish("failed", failure="the run ended without finishing its log")
            return
        # The first error is the one to be seen.
        with contextlib.suppress(LadError):
            if isinstance(error, KeyboardInterrupt):
                self.finish("interrupted")
            else:
                message = getattr(error, "message", "") or str(error)
                self.finish("failed", failure=message or type(error).__name__)

    def _write_attributes(self, header: RunHeader) -> None:
        attributes = self._file.attrs
        attributes["format"] = schema.FORMAT
        attributes["format_version"] = schema.VERSION
        attributes["uuid"] = str(uuid.uuid4())
        attributes["status"] = schema.STATUSES[0]
        attributes["failure"] = ""
        attributes["name"] = _text(header.name)
        attributes["spec"] = _text(header.spec_toml)
        attributes["spec_hash"] = header.spec_hash
        attributes["created"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        provenance = self._file.create_group("provenance").attrs
        for key, value in header.provenance.items():
            provenance[key] = _attribute(key, value)

    def _create_metrics(self) -> None:
        group = self._file.create_group("metrics")
        iteration = self._create_iterations(group)
        for variable in schema.METRICS:
            self._create_growing(group, variable, [iteration])

    def _create_timing(
        self,
        ranks: int,
        phases: Sequence[str],
        training_phases: Sequence[str],
        warmup_iterations: int,
    ) -> None:
        group = self._file.create_group("timing")
        scales = [
            self._create_iterations(group),
            _create_scale(group, schema.RANK, np.arange(ranks, dtype=np.int64)),
            _create_scale(group, schema.PHASE, np.array(phases, dtype=h5py.string_dtype())),
        ]
        seconds = self._create_growing(group, schema.SECONDS, scales)
        seconds.attrs["training_phases"] = _attribute("training_phases", list(training_phases))
        seconds.attrs["warmup_iterations"] = warmup_iterations

    def _create_traffic(self) -> None:
        group = self._file.create_group("traffic")
        iteration = self._create_iterations(group)
        for variable in schema.TRAFFIC:
            self._create_growing(group, variable, [iteration])

    def _create_iterations(self, group: h5py.Group) -> h5py.Dataset:
        scale = self._create_growing(group, schema.ITERATION, [])
        scale.make_scale(schema.ITERATION.name)
        return scale

    def _create_growing(
        self, group: h5py.Group, variable: schema.Variable, scales: Sequence[h5py.Dataset]
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
        self._growing[dataset.name] = dataset
        return dataset

    def _columns(self, block: LogBlock, rows: int) -> dict[str, Any]:
        if block.first_iteration != self._rows:
            raise ValueError(
                f"the block starts at iteration {block.first_iteration}, "
                f"but the log ends before iteration {self._rows}"
            )
        columns: dict[str, Any] = {
            f"/metrics/{name}": values for name, values in block.metrics.items()
        }
        columns |= {f"/traffic/{name}": values for name, values in block.traffic.items()}
        columns["/timing/seconds"] = block.seconds
        wrong = columns.keys() ^ {
            name for name in self._growing if not name.endswith(f"/{schema.ITERATION.name}")
        }
        if wrong:
            raise ValueError(
                f"a block must have exactly the datasets of the schema; see {sorted(wrong)}"
            )
        for name, values in columns.items():
            expected = (rows, *self._growing[name].shape[1:])
            if np.shape(values) != expected:
                raise ValueError(f"{name} must have shape {expected}, not {np.shape(values)}")
        return columns

    def _extend(self, columns: Mapping[str, Any]) -> None:
        for name, values in columns.items():
            dataset = self._growing[name]
            dataset.resize(self._rows + len(values), axis=0)
            dataset[self._rows :] = values
        self._file.flush()

    def _write_state(self, state: FinalState) -> None:
        model = np.asarray(state.model)
        group = self._file.create_group("state")
        # netCDF's way to name a dimension without storing its values.
        scale = group.create_dataset(schema.PARAMETER.name, shape=model.shape, dtype=">f4")
        scale.make_scale(_NOT_A_VARIABLE.format(model.size))
        _describe(scale, schema.PARAMETER)
        dataset = group.create_dataset(schema.MODEL.name, data=model)
        dataset.dims[0].attach_scale(scale)
        _describe(dataset, schema.MODEL)
        for variable in schema.FINAL:
            value = np.float64(getattr(state, variable.name))
            _describe(group.create_dataset(variable.name, data=value), variable)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._file:
            raise ValueError(f"the log {self.path} is closed")
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._abandon()
            raise RunFailedError(
                f"cannot write the log {self.path}: {_reason(error)}",
                hint="see that the disk is not full and the quota not used up; "
                "what was written before can be read",
            ) from error

    def _abandon(self) -> None:
        """Close a file that can no longer be written, leaving it as it is on disk."""
        if not getattr(self, "_file", None):
            return
        with contextlib.suppress(OSError, RuntimeError):
            # A hole at the end takes no space and spares readers a truncated file.
            os.truncate(self._place, self._file.id.get_filesize())
        with contextlib.suppress(OSError, RuntimeError):
            # HDF5 crashes the process at exit if it cannot close a file, so it gets
            # a copy in memory to close.
            if hasattr(os, "memfd_create"):
                memory = os.memfd_create(self.path.name)
                os.dup2(memory, self._file.id.get_vfd_handle())
                with os.fdopen(memory, "wb") as copy, self._place.open("rb") as file:
                    shutil.copyfileobj(file, copy)
            self._file.close()


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
        return _text(value)
    if isinstance(value, (bool, int, float, np.generic)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return np.array([_text(item) for item in value], dtype=h5py.string_dtype())
    raise TypeError(f"{key} must be str, int, float, bool or a list of str, not {value!r}")


def _text(value: str) -> str:
    # HDF5 strings end at the first NUL.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number is None and (match := re.search(r"errno = (\d+)", str(error))):
        number = int(match[1])
    return os.strerror(number) if number else str(error)
