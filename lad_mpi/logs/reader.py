"""Reading a log, whole or left behind by a run that was killed."""

from __future__ import annotations

import os
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import h5py
import numpy as np

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.logs import schema
from lad_mpi.logs.datasets import FinalState
from lad_mpi.logs.lock import is_being_written
from lad_mpi.types import Metric

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lad_mpi.types import HostBools, HostFloats, HostInts

# The superblock of HDF5's file format specification, version 3.0, from its second
# version on: signature, version, consistency flags and address of the end of file.
_SUPERBLOCK = struct.Struct("<8s B 2x B 16x Q")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_FLAG = 4

#: What a rank that hosts devices does before it gathers, besides attacks.
_DEVICE_WORK = ("compute", "encode", "pack")

#: Failure of a run that had no time to write one.
KILLED = "its writer is gone and left the log unfinished: killed, or out of disk space"
#: What is said of a log that states that it is being written, if nobody can tell.
RUNNING_OR_KILLED = "running or killed: the lock of the log cannot be read"


_WAYS: tuple[Literal["", "lower", "higher"], ...] = ("", "lower", "higher")
#: What reading something of another type or shape than expected may raise.
DAMAGE = (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

_Head = TypeVar("_Head", bound="LogHead")


@dataclass(frozen=True, slots=True, eq=False)
class LogHead:
    """What a log says of its run as a whole.

    Parameters
    ----------
    path : Path
        The file.
    status : {"running", "complete", "interrupted", "failed"}
        The outcome. A run that was killed could not write one: it is
        ``"interrupted"`` if nobody holds the lock of the log any more, and
        ``"running"`` if the lock cannot be read; ``failure`` then says so.
    failure : str
        Why it failed or was interrupted; may be empty unless it failed.
    names : tuple of str
        Labels of the method; several if cases of a study are the same run.
    spec_toml, uuid : str
        The resolved spec, and the run's own id.
    spec : dict
        The spec, parsed.
    identity : str
        Hash of what makes the run the one that it is; of format 2, which has none,
        the hash of the spec.
    data_digest : str or None
        Digest of the data that were read; empty if none were. None in logs of
        format 2, which do not tell.
    packages : tuple of str
        ``"name version"`` of every package that provides a component. In logs of
        format 2 it is this suite alone.
    recorded : int
        T, how many iterations the log holds.
    format_version : int
        Of the log.
    """

    path: Path
    status: str
    failure: str
    names: tuple[str, ...]
    spec: dict[str, Any]
    spec_toml: str
    identity: str
    data_digest: str | None
    packages: tuple[str, ...]
    uuid: str
    recorded: int
    format_version: int

    @property
    def name(self) -> str:
        """The first of the names."""
        return self.names[0]

    @property
    def emulated_network(self) -> str:
        """The network that times are of, by the spec; empty where it is the real one."""
        emulated = self.spec.get("network", {}).get("emulate", {})
        return ",".join(f"{key}={text}" for key, text in emulated.items())


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """One launch of a run, to which its times belong.

    Parameters
    ----------
    first, stop : int
        It made the iterations from ``first`` to before ``stop`` that the log holds:
        none if a later launch went on from an earlier point.
    ranks : int
        Number of ranks.
    provenance : dict
        Where and with what it was made.
    """

    first: int
    stop: int
    ranks: int
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RunLog(LogHead):
    """All that a log says.

    Parameters
    ----------
    path, status, failure, names, spec, spec_toml, identity, data_digest, packages, uuid,
    recorded, format_version
        As in :class:`LogHead`.
    iteration : ndarray of int64, shape (T,)
        Iterations that were recorded.
    metrics : dict of ndarray, shape (T,)
        All that the log holds on iteration, by name.
    metric_info : dict of Metric
        What the metrics say of themselves, by name.
    refusals : dict of ndarray of int64, shape (T,)
        Refused messages by reason; the sum over all is ``messages_rejected``.
    seconds : ndarray of float64, shape (T, ranks, phases)
        Times; NaN where a rank has no such phase.
    phases, training_phases : tuple of str
        Names along the last axis of ``seconds``, and those that count as training.
    warmup_iterations : int
        Leading iterations of every launch that are marked as warm-up.
    launches : tuple of Launch
        In their order; at least one.
    traffic : dict of ndarray, shape (T,)
        By the names of :data:`~lad_mpi.logs.schema.TRAFFIC`, in bytes.
    final : FinalState or None
        The model after the last update; None where the run did not get there.
    """

    iteration: HostInts
    metrics: dict[str, Any]
    metric_info: dict[str, Metric]
    refusals: dict[str, HostInts]
    seconds: HostFloats
    phases: tuple[str, ...]
    training_phases: tuple[str, ...]
    warmup_iterations: int
    launches: tuple[Launch, ...]
    traffic: dict[str, Any]
    final: FinalState | None

    @property
    def ranks(self) -> int:
        """Number of ranks of the largest launch."""
        return int(self.seconds.shape[1])

    @property
    def provenance(self) -> dict[str, Any]:
        """Where and with what the last launch was made."""
        return self.launches[-1].provenance

    @property
    def restarts(self) -> tuple[int, ...]:
        """Iterations with which launches after the first one went on."""
        return tuple(launch.first for launch in self.launches[1:] if launch.first < launch.stop)

    def training_seconds(self) -> HostFloats:
        """Return the training time of every iteration, warm-up included.

        The server's clock runs through the whole iteration: while devices work, the
        server waits in the gather. A device's clock would count the server's evaluation,
        for which it waits in the broadcast. A training has no attacks, so what they add
        to the server's wait is taken out: with attacks it ends when the last rank has
        done its work and its attacks, without when the last rank has done its work.

        Returns
        -------
        ndarray of float64, shape (T,)
            In seconds.
        """
        training = [self.phases.index(phase) for phase in self.training_phases]
        seconds: HostFloats = np.nansum(self.seconds[:, 0][:, training], axis=1)
        if self.ranks > 1 and schema.ATTACK_PHASE in self.phases:
            seconds -= self._attack_delay()
        return np.maximum(seconds, 0.0)

    def _attack_delay(self) -> HostFloats:
        """Return by how much attacks on other ranks than the server's made it wait longer."""
        devices = np.nan_to_num(self.seconds[:, 1:])
        columns = [self.phases.index(phase) for phase in _DEVICE_WORK if phase in self.phases]
        work = devices[:, :, columns].sum(axis=2)
        attacked = work + devices[:, :, self.phases.index(schema.ATTACK_PHASE)]
        delay: HostFloats = attacked.max(axis=1) - work.max(axis=1)
        return delay

    def is_warm(self) -> HostBools:
        """Tell which iterations come after the warm-up of their launch, bool, shape (T,)."""
        warm = np.ones(len(self.iteration), dtype=bool)
        for launch in self.launches:
            warm[launch.first : min(launch.first + self.warmup_iterations, launch.stop)] = False
        return warm


def read_log(path: Path) -> RunLog:
    """Read a log.

    Of a run that is still going on, or was killed, the iterations that are
    written in full are read.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    RunLog

    Raises
    ------
    UsageError
        There is no such file.
    LogFormatError
        It is not a log of this suite, is damaged, or is of a newer version.
    """
    return _read_with(path, _read)


def read_head(path: Path) -> LogHead:
    """Read what a log says of its run as a whole, whatever its size.

    Parameters, errors and what a killed run says are those of :func:`read_log`.
    """
    return _read_with(path, _read_head)


def find_logs(paths: Iterable[Path]) -> list[Path]:
    """List the logs among files and folders.

    Folders are searched recursively for ``*.h5``. Files found there that are
    sound HDF5 of another kind are left out; damaged ones are listed, so that
    reading them says what is wrong. Files that are named are always listed.

    Returns
    -------
    list of Path
        Sorted, each once.

    Raises
    ------
    UsageError
        A path does not exist, or a folder cannot be searched.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        if path.is_dir():
            found.update(file for file in _files_in(path) if not _is_foreign(file))
        elif path.exists():
            found.add(path)
        else:
            raise UsageError(f"{path} does not exist")
    return sorted(found)


def open_log(path: Path) -> h5py.File:
    """Open a log for reading and check that it is one.

    Raises
    ------
    UsageError, LogFormatError
        As :func:`read_log`.
    """
    _check_file(path)
    try:
        file = _open(path)
    except OSError as error:
        if error.errno is not None:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        if not h5py.is_hdf5(path):
            raise LogFormatError(
                f"{path} is not an HDF5 file", hint="logs are the .h5 files that a run writes"
            ) from error
        raise LogFormatError(
            f"{path} cannot be opened: {error}",
            hint="it may be cut short, or its writer was killed while it closed the file; "
            "h5clear -s removes the mark of an open file",
        ) from error
    try:
        _check_format(path, file)
    except LogFormatError:
        file.close()
        raise
    return file


def _check_file(path: Path) -> None:
    try:
        if not path.is_file():
            raise UsageError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _files_in(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> NoReturn:
        # Passed over in silence, its logs would be missing from every table.
        raise UsageError(f"{error.filename} cannot be searched: {error.strerror}") from error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names if name.endswith(".h5"))


def metric_datasets(metrics: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets of ``/metrics`` with one number an iteration, by name.

    Raises
    ------
    KeyError
        One that every log has is missing.
    """
    scales = {schema.ITERATION.name, schema.REASON.name}
    required = (variable.name for variable in (*schema.STEP_METRICS, *schema.COUNTS))
    return {name: metrics[name] for name in required} | {
        name: item
        for name, item in metrics.items()
        if isinstance(item, h5py.Dataset) and item.ndim == 1 and name not in scales
    }


def count_rows(file: h5py.File) -> int:
    """Count the iterations that every dataset holds.

    Raises
    ------
    ValueError
        Datasets differ in length although the run has ended.
    """
    growing = file.attrs["status"] == "running"
    datasets = [file["timing/seconds"]]
    datasets += [file[group]["iteration"] for group in ("metrics", "timing", "traffic")]
    datasets += [*metric_datasets(file["metrics"]).values(), file["metrics"][schema.REFUSALS.name]]
    datasets += [file["traffic"][variable.name] for variable in schema.TRAFFIC]
    lengths = {dataset.name: len(dataset) for dataset in datasets}
    rows = min(lengths.values())
    if not growing and max(lengths.values()) > rows:
        raise ValueError(f"datasets on iteration differ in length: {lengths}")
    if growing:
        # A row may have been made room for and not been written.
        for scale in datasets[1:4]:
            written = scale[:rows] != schema.NO_ITERATION
            rows = rows if written.all() else int(np.argmin(written))
    return rows


def _open(path: Path) -> h5py.File:
    return h5py.File(path, "r", swmr=_is_growing(path), locking="best-effort")


def _is_growing(path: Path) -> bool:
    """Tell whether a writer has the file open in SWMR mode, or was killed then.

    Such a file opens in SWMR mode only, and no other should: HDF5 then takes
    missing pieces for pieces not yet written and waits for them.
    """
    with path.open("rb") as stream:
        head = stream.read(_SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size:
        return False
    signature, version, consistency, end = _SUPERBLOCK.unpack(head)
    marked = signature == _SIGNATURE and version >= 3 and bool(consistency & _SWMR_FLAG)
    return marked and end <= path.stat().st_size


def _check_format(path: Path, file: h5py.File) -> None:
    if not _is_ours(file):
        raise LogFormatError(
            f"{path} is an HDF5 file, but not a log of lad_mpi",
            hint=f"a log has the root attribute format = {schema.FORMAT!r}",
        )
    version = file.attrs.get("format_version")
    if not isinstance(version, np.integer):
        raise LogFormatError(f"{path} has no root attribute format_version")
    if version not in schema.READABLE:
        readable = " and ".join(map(str, schema.READABLE))
        raise LogFormatError(
            f"{path} is a log of version {version}; this release reads versions {readable}",
            hint="read it with the lad_mpi that wrote it; its provenance names the version",
        )


def _is_foreign(path: Path) -> bool:
    try:
        with _open(path) as file:
            return not _is_ours(file)
    except OSError:
        return False


def _is_ours(file: h5py.File) -> bool:
    # Other programs have attributes of other types under the same name.
    name = file.attrs.get("format")
    return isinstance(name, str) and name == schema.FORMAT


def _read_with(path: Path, read: Callable[[Path, h5py.File], _Head]) -> _Head:
    path = Path(path)
    _check_file(path)
    # Asked before and after: in between a run may have ended, or begun.
    unwritten = is_being_written(path) is False
    with open_log(path) as file:
        try:
            found = read(path, file)
        except DAMAGE as error:
            raise LogFormatError(
                f"{path} is damaged or incomplete: {error}",
                hint="lad-mpi validate lists what is wrong with it",
            ) from error
    if found.status != schema.STATUSES[0]:
        return found
    written = is_being_written(path)
    if written is None:
        return replace(found, failure=RUNNING_OR_KILLED)
    if unwritten and not written:
        return replace(found, status="interrupted", failure=KILLED)
    return found


def _read_head(path: Path, file: h5py.File) -> LogHead:
    return LogHead(**_head(path, file))


def _head(path: Path, file: h5py.File) -> dict[str, Any]:
    version = int(file.attrs["format_version"])
    text = {name: str(file.attrs[name]) for name in schema.TEXT_ATTRIBUTES[version]}
    lists = {name: tuple(map(str, file.attrs[name])) for name in schema.LIST_ATTRIBUTES[version]}
    if version == 2:
        suite = file["provenance"].attrs.get("lad_mpi_version", "unknown")
        lists = {"names": (text["name"],), "packages": (f"lad_mpi {suite}",)}
        text |= {"identity": text["spec_hash"]}
    return {
        "path": path,
        "spec": tomllib.loads(text["spec"]),
        "spec_toml": text["spec"],
        "recorded": count_rows(file),
        "format_version": version,
        "data_digest": text.get("data_digest"),
        **{name: text[name] for name in ("status", "failure", "identity", "uuid")},
        **lists,
    }


def _read(path: Path, file: h5py.File) -> RunLog:
    head = _head(path, file)
    rows = head["recorded"]
    seconds = file["timing/seconds"]
    metrics = metric_datasets(file["metrics"])
    phases = tuple(file["timing/phase"].asstr()[:])
    training_phases = tuple(map(str, seconds.attrs["training_phases"]))
    if not set(training_phases) <= set(phases):
        raise ValueError(f"{training_phases} are counted as training, but the phases are {phases}")
    return RunLog(
        **head,
        iteration=file["metrics/iteration"][:rows],
        metrics={name: dataset[:rows] for name, dataset in metrics.items()},
        metric_info={name: _read_metric(name, dataset) for name, dataset in metrics.items()},
        refusals=_read_refusals(file["metrics"], rows),
        seconds=seconds[:rows],
        phases=phases,
        training_phases=training_phases,
        warmup_iterations=int(seconds.attrs["warmup_iterations"]),
        launches=_read_launches(file, rows),
        traffic={v.name: file["traffic"][v.name][:rows] for v in schema.TRAFFIC},
        final=_read_final(file),
    )


def _read_refusals(metrics: h5py.Group, rows: int) -> dict[str, HostInts]:
    counts = metrics[schema.REFUSALS.name][:rows]
    reasons = metrics[schema.REASON.name].asstr()[:]
    return {str(reason): counts[:, column] for column, reason in enumerate(reasons)}


def _read_final(file: h5py.File) -> FinalState | None:
    if "state" not in file:
        return None
    group = file["state"]
    # The loss is never missing.
    names = dict.fromkeys(["loss", *(name for name, item in group.items() if item.shape == ())])
    return FinalState(group[schema.MODEL.name][:], {name: float(group[name][()]) for name in names})


def _read_metric(name: str, dataset: h5py.Dataset) -> Metric:
    about = {key: str(dataset.attrs.get(key, "")) for key in ("units", "long_name", "better")}
    # Logs of format 2 do not say which way is better.
    known = {metric.name: metric.better for metric in schema.STEP_METRICS}
    stated = about["better"] or known.get(name, "")
    better = next((way for way in _WAYS if way == stated), _WAYS[0])
    return Metric(name, about["units"] or "1", about["long_name"] or name, better)


def _read_launches(file: h5py.File, rows: int) -> tuple[Launch, ...]:
    current = file["provenance"]
    earlier = sorted(current, key=lambda name: int(name.rpartition("_")[2]))
    records = [
        {key: _plain(value) for key, value in group.attrs.items()}
        for group in (*(current[name] for name in earlier), current)
    ]
    launches: list[Launch] = []
    stop = rows
    # From the last one back: a launch ends where the first of all later ones begins.
    for record in reversed(records):
        first = min(int(record["first_iteration"]), stop)
        launches.insert(0, Launch(first, stop, int(record["mpi_ranks"]), record))
        stop = first
    return tuple(launches)


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        raise TypeError("an attribute of /provenance is empty")
    if isinstance(value, np.ndarray):
        return [str(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
