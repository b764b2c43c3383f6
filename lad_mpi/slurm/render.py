"""Render job scripts: templates in bash, filled with the values of a cluster file.

A script is read twice, by ``sbatch`` and by bash, and each has its own rules for quotes.
Neither can quote a line break, so control characters are refused in all values.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import UsageError
from lad_mpi.files import read_bytes
from lad_mpi.measure.scale.launcher import SRUN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lad_mpi.slurm.cluster import Cluster, ClusterFile


_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


#: ``@name@``, as in autoconf. It has no meaning in bash.
_PLACEHOLDER = re.compile(r"@([a-z_]+)@")
#: Default numbers of ranks of a scaling study, as far as a job has them.
_RANKS = (2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025)
_MEANING = {
    "strong": "The spec stays as it is, whatever the\n# number of ranks.",
    "weak": "The spec grows with the\n# number of ranks, so that every rank's work stays the same.",
}
_COMMENTS = {
    "signal": "This many seconds before the time limit, all ranks are asked to end in order.",
    "requeue": "A job that loses a node starts again by itself and appends to its output.",
}


@dataclass(frozen=True, slots=True)
class Job:
    """The values of a script that do not come from the cluster file.

    Parameters
    ----------
    template : str
        Name of the template, without its ending.
    name : str
        Name of the job.
    output : str
        Folder of the job's output; empty for the folder in which it is submitted.
    arguments : sequence of str
        Arguments of the script, before those on the command line of ``sbatch``.
    num_tasks : int
        Tasks of a job array; 0 if there is no array, or ``sbatch`` is given its size.
    kind : str
        ``"strong"`` or ``"weak"``, for scaling studies.
    file : str
        Name of the script, for its comment on how to submit it.
    """

    template: str
    name: str
    output: str = ""
    arguments: Sequence[str] = ()
    num_tasks: int = 0
    kind: str = ""
    file: str = ""


def render(file: ClusterFile, job: Job) -> str:
    """Return the script of a job.

    Raises
    ------
    UsageError
        A template is missing, or has an unknown placeholder.
    """
    text = _fill(file, job, f"{job.template}.sbatch")
    # An empty part leaves too many blank lines.
    return re.sub(r"\n{3,}", "\n\n", text)


def _fill(file: ClusterFile, job: Job, name: str) -> str:
    path = file.template(name)
    values = _values(file, job)

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise UsageError(
                f"{path}: unknown placeholder @{found[1]}@",
                hint=f"known placeholders: @{'@, @'.join(sorted(values))}@",
            )
        return values[found[1]]()

    return _PLACEHOLDER.sub(value, _read(path))


def _values(file: ClusterFile, job: Job) -> dict[str, Callable[[], str]]:
    """Return a function for each placeholder that returns its text. Some fill other templates."""
    cluster = file.cluster
    launcher = "gpu" if cluster.gpus_per_node else cluster.launcher
    last = "requeue" if cluster.requeue else "leave"
    return {
        "setup": lambda: _fill(file, job, "setup.sh").strip(),
        "launch": lambda: _fill(file, job, f"launch_{launcher}.sh").strip(),
        "srun": lambda: _fill(file, job, "srun.sh").strip(),
        "follow": lambda: _fill(file, job, "follow.sh").strip() if _is_warned(cluster, job) else "",
        "requeue": lambda: _fill(file, job, f"{last}.sh").strip(),
        "options": lambda: _options(cluster, job),
        "environment": lambda: _environment(cluster),
        "arguments": lambda: _arguments(job.arguments),
        # Each with a leading space, so that no options leave no space.
        "launcher_options": lambda: "".join(f" {shlex.quote(o)}" for o in cluster.launcher_options),
        "launcher": lambda: _launcher(cluster),
        "venv": lambda: default_word(cluster.venv),
        "mpi": lambda: default_word(cluster.mpi),
        "gpus_per_node": lambda: str(cluster.gpus_per_node),
        "num_ranks": lambda: str(cluster.num_ranks),
        "num_tasks": lambda: str(job.num_tasks or "$((SLURM_ARRAY_TASK_MAX + 1))"),
        "ranks": lambda: _ranks(cluster.num_ranks),
        "kind": lambda: job.kind,
        "meaning": lambda: _MEANING.get(job.kind, ""),
        "file": lambda: job.file,
    }


def _is_warned(cluster: Cluster, job: Job) -> bool:
    """Return whether the job's shell receives the warning. srun passes signals to ranks only."""
    return cluster.launcher == "mpiexec" or job.template == "scale"


def _launcher(cluster: Cluster) -> str:
    """Return the launcher as one word, for ``lad-mpi scale --launcher``."""
    words = SRUN if cluster.launcher == "srun" else (cluster.launcher,)
    return shlex.quote(shlex.join([*words, *cluster.launcher_options]))


def _ranks(most: int) -> str:
    return ",".join(str(ranks) for ranks in _RANKS if ranks <= most) or str(most)


def _read(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except OSError as error:
        raise UsageError(
            f"the template {path} cannot be read: {error.strerror}",
            hint="correct its permissions, or remove it to use the template of the suite",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the template {path} is not UTF-8: {error}", hint="save it as UTF-8"
        ) from error


def _options(cluster: Cluster, job: Job) -> str:
    """Return the lines that ``sbatch`` reads."""
    is_array = job.template == "array"
    lines = [
        f"--job-name={sbatch_word(job.name)}",
        f"--nodes={cluster.nodes}",
        f"--ntasks-per-node={cluster.tasks_per_node}",
        f"--cpus-per-task={cluster.cores_per_rank}",
    ]
    if cluster.gpus_per_node:
        lines.append(f"--gpus-per-node={cluster.gpus_per_node}")
    for option in cluster.options:
        name, equals, value = option.partition("=")
        lines.append(f"{name}={sbatch_word(value)}" if equals else option)
    lines.append(f"--time={cluster.time}")
    if is_array:
        parallel = f"%{cluster.array_parallel}" if cluster.array_parallel else ""
        lines.append(f"--array=0-{(job.num_tasks or 10) - 1}{parallel}")
    # "B:" sends the signal to the shell of the job, which passes it on.
    whom = "B:" if _is_warned(cluster, job) else ""
    lines.append(f"--signal={whom}USR2@{cluster.warn_s}")
    lines += ["--requeue", "--open-mode=append"]
    number = "%x_%A_%a.out" if is_array else "%x_%j.out"
    folder = f"{job.output.replace('%', '%%')}/" if job.output else ""
    lines.append(f"--output={sbatch_word(folder + number)}")
    script = []
    for line in lines:
        comment = _COMMENTS.get(line.removeprefix("--").partition("=")[0])
        if comment:
            script.append(f"# {comment}")
        script.append(f"#SBATCH {line}")
    for name in ("account", "partition"):
        found = getattr(cluster, name)
        # Many sites require these. A second # hides a line from sbatch.
        script.append(
            f"#SBATCH --{name}={sbatch_word(found)}" if found else f"##SBATCH --{name}=..."
        )
    return "\n".join(script)


def _environment(cluster: Cluster) -> str:
    lines = []
    if cluster.modules:
        lines.append(f"module load {shlex.join(cluster.modules)} || exit 1")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in cluster.environment.items()]
    return "\n".join([*lines, *cluster.setup])


def _arguments(arguments: Sequence[str]) -> str:
    """Return the line that sets the script's arguments, one option a line."""
    if not arguments:
        return ""
    text = "set --"
    for argument in arguments:
        # Only options start with a dash: path_word puts ./ before other words.
        text += (" \\\n  " if argument.startswith("-") else " ") + shlex.quote(argument)
    return f'{text} "$@"'


def path_word(path: Path) -> str:
    """Return a path that does not look like an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def default_word(text: str) -> str:
    """Return a text as a word in ``${NAME:-word}``; empty for an empty text."""
    return shlex.quote(text) if text else ""


def sbatch_word(text: str) -> str:
    """Return a text as a word in a line ``#SBATCH``.

    In such a line, a backslash escapes the next character inside quotes, too, and ``#``
    starts a comment (``_get_argument`` in SLURM's ``src/sbatch/opt.c``).
    """
    if not text or _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


#: The ready scripts in ``jobs/slurm``, by name. Their arguments are given to ``sbatch``.
READY: dict[str, Job] = {
    "run": Job("run", "lad-run", file="run.sbatch"),
    "gpu": Job("run", "lad-gpu", file="gpu.sbatch"),
    "study": Job("study", "lad-study"),
    "array": Job("array", "lad-array"),
    "strong": Job("scale", "lad-strong", kind="strong"),
    "weak": Job("scale", "lad-weak", kind="weak"),
}
