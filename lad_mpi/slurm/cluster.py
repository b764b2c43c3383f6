"""Cluster files: what jobs ask the scheduler for, and how ranks are started."""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le, Unit

from lad_mpi.errors import ParameterError, SpecError, UsageError
from lad_mpi.parameters import Count, CountOrZero, check_parameters
from lad_mpi.spec import apply_override, build, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Cluster files of the suite. In a clone, ``clusters`` is a link to ``jobs/clusters``.
CLUSTERS = Path(__file__).with_name("clusters")
TEMPLATES = Path(__file__).with_name("templates")
#: Folder in which the user's own cluster files are found by name.
_OWN = Path("jobs/clusters")
#: A time limit of sbatch: minutes, minutes:seconds, or [days-]hours[:minutes[:seconds]].
_TIME = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}|UNLIMITED", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: An option and its value in one word.
_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=.*)?|-[A-Za-z][\w@%+=:,./-]*", re.ASCII)
#: Control characters of ASCII and Latin-1, line and paragraph separators, and characters
#: that change the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: Keys whose value is one word in the script. ``setup`` is code and not among them.
_TEXTS = ("mpi", "time", "partition", "account", "venv")
_LISTS = ("launcher_options", "options", "modules")
#: Largest number that sbatch accepts after ``--signal=USR2@``.
_MAX_WARN_S = 65535


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster file.

    Parameters
    ----------
    launcher : {"srun", "mpiexec"}
        Command that starts ranks.
    mpi : str
        Plugin of ``srun`` for the MPI library; ``srun --mpi=list`` lists them.
    launcher_options : tuple of str
        Further options of the launcher.
    nodes, ranks_per_node, cores_per_rank : int
        Size of a job.
    gpus_per_node : int
        If not 0, there is one rank for each GPU, and the server in addition on the first
        node. ``ranks_per_node`` is not used then.
    time : str
        Time limit of a job, in the syntax of ``sbatch --time``.
    warn_s : int
        Seconds before the time limit at which all ranks are told to stop.
    requeue : bool
        Whether a job requeues itself after it was told to stop.
    partition, account : str
        Empty: the scheduler's default.
    options : tuple of str
        Other options of ``sbatch``, one in each text: ``"--qos=long"``.
    modules, setup : tuple of str
        Modules that a job loads, and lines of bash that it then runs. Both are code.
    venv : str
        Folder of a virtual environment; empty for none. Variables are not expanded.
    array_tasks, array_parallel : int
        Largest number of tasks of a job array, and how many of them may run at the same
        time (0: the scheduler decides).
    environment : dict of str to str
        Environment variables of the job.

    Raises
    ------
    ParameterError
        A value is invalid, or a text other than ``setup`` has a control character, which
        could start another line of the script.
    """

    launcher: Literal["srun", "mpiexec"] = "srun"
    mpi: str = "pmi2"
    launcher_options: tuple[str, ...] = ()
    nodes: Count = 2
    ranks_per_node: Count = 8
    cores_per_rank: Count = 1
    gpus_per_node: CountOrZero = 0
    time: str = "01:00:00"
    warn_s: Annotated[int, Ge(0), Le(_MAX_WARN_S), Unit("s")] = 120
    requeue: bool = True
    partition: str = ""
    account: str = ""
    options: tuple[str, ...] = ("--exclusive", "--hint=nomultithread")
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    venv: str = ".venv"
    array_tasks: Count = 1000
    array_parallel: CountOrZero = 0
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._refuse_control_characters()
        check_parameters(self)
        if not _TIME.fullmatch(self.time):
            raise ParameterError(
                "time",
                f"expected minutes or [days-]hours:minutes:seconds, found {self.time!r}",
                hint='time = "01:30:00"',
            )
        if self.launcher == "mpiexec" and self.gpus_per_node:
            raise ParameterError(
                "gpus_per_node",
                'only srun places ranks near GPUs, but launcher is "mpiexec"',
                hint='set launcher = "srun", or leave gpus_per_node out',
            )
        for option in self.options:
            if not _OPTION.fullmatch(option):
                raise ParameterError(
                    "options",
                    f"expected options of sbatch, found {option!r}",
                    hint='write one option in each text: ["--qos=long", "--exclusive"]',
                )
        # Its folder bin is put on the PATH, where a colon separates folders.
        if ":" in self.venv:
            raise ParameterError(
                "venv",
                f"must not have a colon, found {self.venv!r}",
                hint="a colon separates folders in PATH: move or rename the environment",
            )
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise ParameterError(
                    "environment",
                    f"{name!r} is not a valid variable name",
                    hint="use letters, digits and underscores, and no digit first",
                )

    def _refuse_control_characters(self) -> None:
        texts = [(name, getattr(self, name)) for name in _TEXTS]
        texts += [(name, text) for name in _LISTS for text in getattr(self, name)]
        texts += [(f"environment.{name}", text) for name, text in self.environment.items()]
        for name, text in texts:
            if found := control_character(text):
                raise ParameterError(
                    name, f"must not have control characters, found {found} in {text!r}"
                )

    @property
    def tasks_per_node(self) -> int:
        """Number of tasks that a job allocates on every node."""
        return self.gpus_per_node + 1 if self.gpus_per_node else self.ranks_per_node

    @property
    def num_ranks(self) -> int:
        """Number of ranks of a job."""
        per_node = self.gpus_per_node or self.ranks_per_node
        return self.nodes * per_node + (1 if self.gpus_per_node else 0)


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """A cluster and its file.

    Parameters
    ----------
    path : Path
        The file. Its stem is the name of the cluster.
    cluster : Cluster
        The values in the file.
    """

    path: Path
    cluster: Cluster

    def template(self, name: str) -> Path:
        """Return a template: the one in ``templates`` beside the file's folder, or the suite's."""
        own = self.path.absolute().parent.parent / "templates" / name
        # lexists, not is_file: a FIFO of that name is refused when it is read, not ignored.
        return own if os.path.lexists(own) else TEMPLATES / name


def load_cluster(path: Path, overrides: Iterable[str] = ()) -> ClusterFile:
    """Read a cluster file.

    Parameters
    ----------
    path : Path
        The file, or the name of a file in ``jobs/clusters`` of the current folder or in the
        suite.
    overrides : iterable of str
        ``key=value``, as in ``lad-mpi run --set``.

    Raises
    ------
    UsageError, SpecError
        There is no such file, or a key or value is invalid.
    """
    path = _find(path)
    mapping: dict[str, Any] = read_toml(path)
    for override in overrides:
        apply_override(mapping, override)
    # Without quotes, TOML reads 02:00:00 as a time of day and 90 as a number.
    if type(mapping.get("time")) in {dt.time, int}:
        mapping["time"] = str(mapping["time"])
    try:
        return ClusterFile(path, build(Cluster, mapping, ""))
    except SpecError as error:
        raise SpecError(
            f"{path}: {error.key}", error.message.removeprefix(f"{error.key}: "), hint=error.hint
        ) from error


def control_character(text: str) -> str:
    """Return the first control character of a text, escaped; empty if there is none."""
    found = _CONTROL.search(text)
    return ascii(found[0]) if found else ""


def _find(path: Path) -> Path:
    if path.suffix == ".toml" or path.is_file():
        return path
    if path.name == str(path):
        for folder in (_OWN, CLUSTERS):
            named = folder / f"{path.name}.toml"
            if named.is_file():
                return named
    known = {file.stem for folder in (_OWN, CLUSTERS) for file in folder.glob("*.toml")}
    raise UsageError(
        f"there is no cluster file {path}, and none with this name in {_OWN} or {CLUSTERS}",
        hint=f"known names: {', '.join(sorted(known))}; copy one, edit it, and give its path",
    )
