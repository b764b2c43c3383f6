"""Arguments, dispatch, and how errors reach the person at the terminal.

Nothing heavy is imported here: a command imports what it needs once it is known.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lad_mpi._version import __version__
from lad_mpi.cli.arguments import add_json, add_overrides
from lad_mpi.cli.measuring import add_baseline, add_forecast, add_rank_benches, add_scale
from lad_mpi.errors import ExitCode
from lad_mpi.launchers import announced_rank
from lad_mpi.terminal import open_streams, path_argument, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRESS_KINDS = ("auto", "bar", "lines", "none")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong once, whatever the number of ranks."""

    def error(self, message: str) -> NoReturn:
        if announced_rank() == 0:
            self.print_usage(sys.stderr)
            sys.stderr.write(f"{self.prog}: error: {message}\n")
        raise SystemExit(int(ExitCode.USAGE))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    limit_threads()
    return run_command(build_parser(), arguments, _act, name="lad-mpi")


def _act(options: argparse.Namespace) -> int:
    if not (options.prints or options.json or options.dry_run):
        open_streams(output_matters=False)
    command = importlib.import_module(f"lad_mpi.cli.{options.module}")
    return int(getattr(command, options.function)(options))


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = _Parser(
        prog="lad-mpi",
        description="Byzantine-robust, coded and compressed distributed training under MPI.",
    )
    parser.add_argument("--version", action="version", version=f"lad-mpi {__version__}")
    # Whether a command is there for what it prints, which must not be lost then.
    parser.set_defaults(prints=True, json=False, dry_run=False, verbose=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_study(commands)
    _add_show(commands)
    _add_validate(commands)
    _add_components(commands)
    _add_schema(commands)
    _add_bench(commands)
    add_baseline(commands, _command)
    add_scale(commands, _command)
    add_forecast(commands, _command)
    _add_analysis(commands)
    _add_doctor(commands)
    return parser


def limit_threads() -> None:
    """Give linear algebra one thread a rank, unless the environment says otherwise.

    Libraries would start one thread a core in every rank. It has to be said
    before NumPy is imported.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, threads)


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    run = _command(
        commands,
        "run",
        "run one spec",
        "Run one spec and write its log. Alone it runs in one process; under mpirun or "
        "srun rank 0 is the server and the other ranks host the devices.",
    )
    run.add_argument("spec", type=path_argument, metavar="SPEC.toml")
    add_overrides(run)
    run.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("results"),
        metavar="OUT",
        help="log file (*.h5) or folder for it (default: results)",
    )
    existing = run.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace a log that exists")
    existing.add_argument(
        "--resume",
        action="store_true",
        help="go on where an earlier launch was interrupted; begin if there was none",
    )
    run.add_argument(
        "--dry-run", action="store_true", help="check and print the resolved spec; run nothing"
    )
    _add_host_details(run)
    _add_force(run)
    _add_progress(run)
    run.set_defaults(module="run", function="run", prints=False)


def _add_study(commands: argparse._SubParsersAction[_Parser]) -> None:
    study = commands.add_parser("study", help="many runs from one file")
    actions = study.add_subparsers(metavar="ACTION", required=True)
    texts = {
        "run": (
            "run all that is not complete yet",
            (
                "Run a study's runs back to back in one launch. Complete ones are skipped, a "
                "failed one is reported and the next begun."
            ),
        ),
        "plan": ("list the runs", "List the runs of a study and the files of their logs."),
        "status": (
            "show what is done",
            (
                "Show what has become of each run of a study, as its logs and, where it was "
                "submitted, the queue tell."
            ),
        ),
        "submit": (
            "submit what is missing to SLURM",
            (
                "Render a job script for the runs that are neither complete nor in the queue, "
                "and submit it with sbatch. What was submitted is recorded beside the logs."
            ),
        ),
    }
    for name, (short, text) in texts.items():
        action = _command(actions, name, short, text)
        action.add_argument("study", type=path_argument, metavar="STUDY.toml")
        action.add_argument(
            "-o",
            "--output",
            type=path_argument,
            metavar="DIR",
            help="folder of the logs (default: results/NAME of the study)",
        )
        if name == "run":
            _add_selection(action)
            _add_host_details(action)
            _add_force(action)
            _add_progress(action)
        else:
            add_json(action)
        if name == "submit":
            _add_submission(action)
        module = "submit" if name == "submit" else "study"
        action.set_defaults(module=module, function=name, prints=name in ("plan", "status"))


def _add_selection(action: _Parser) -> None:
    action.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ID[,ID…]",
        help="only these runs, by the ids that `study plan --json` lists; may be repeated",
    )
    action.add_argument(
        "--share",
        default="",
        metavar="K/M",
        help="of those, only every M-th from the K-th on, counted from 0; for tasks of a job array",
    )


def _add_submission(action: _Parser) -> None:
    action.add_argument(
        "--cluster",
        type=path_argument,
        required=True,
        metavar="C",
        help="cluster file, or the name of one in jobs/clusters or of the suite: mpich, cray, …",
    )
    layout = action.add_mutually_exclusive_group()
    layout.add_argument(
        "--packed", action="store_true", help="all runs in one job, one after another (default)"
    )
    layout.add_argument(
        "--array", action="store_true", help="a job array whose tasks share the runs"
    )
    action.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=V",
        help="change one value of the cluster file, time=04:00:00; may be repeated",
    )
    action.add_argument(
        "--dry-run", action="store_true", help="print the job script; submit nothing"
    )


def _add_show(commands: argparse._SubParsersAction[_Parser]) -> None:
    show = _command(commands, "show", "summarise a log", "Summarise one log.")
    show.add_argument("log", type=path_argument, metavar="FILE.h5")
    show.add_argument("--spec", action="store_true", help="print the resolved spec only")
    add_json(show)
    show.set_defaults(module="show", function="show")


def _add_validate(commands: argparse._SubParsersAction[_Parser]) -> None:
    validate = _command(
        commands,
        "validate",
        "check logs, specs and studies",
        "Check that logs (*.h5) keep the format and that specs and studies (*.toml) can be run.",
    )
    validate.add_argument("files", type=path_argument, nargs="+", metavar="FILE")
    add_json(validate)
    validate.set_defaults(module="show", function="validate")


def _add_components(commands: argparse._SubParsersAction[_Parser]) -> None:
    components = _command(
        commands,
        "components",
        "list problems, codes, codecs, attacks and rules",
        "List every component with its parameters and their defaults, its reference, its cost "
        "and, for rules, the proven κ; or show one in full.",
    )
    components.add_argument("kind", nargs="?", metavar="KIND", help="show this one in full")
    components.add_argument("--n", type=int, default=100, metavar="N", help="messages, for κ (100)")
    components.add_argument("--f", type=int, default=20, metavar="F", help="faulty ones (20)")
    add_json(components)
    components.set_defaults(module="components", function="components")


def _add_schema(commands: argparse._SubParsersAction[_Parser]) -> None:
    schema = _command(
        commands,
        "schema",
        "print a JSON Schema of spec, study or cluster files",
        "Print the JSON Schema with which editors complete and check spec, study and cluster "
        "files. It includes the components of other packages that are installed.",
    )
    schema.add_argument("file", nargs="?", choices=("spec", "study", "cluster"), default="spec")
    schema.add_argument(
        "--markdown", action="store_true", help="print docs/reference.md, the page of all keys"
    )
    schema.set_defaults(module="schema", function="schema")


def _add_bench(commands: argparse._SubParsersAction[_Parser]) -> None:
    bench = commands.add_parser("bench", help="time parts of the suite on this machine")
    subjects = bench.add_subparsers(metavar="SUBJECT", required=True)
    rules = _command(
        subjects,
        "rules",
        "aggregation rules beside the bounds of memory and arithmetic",
        "Time every rule and pre-aggregation, in medians, over the time to read the matrix "
        "once and over one Gram product, measured in the same run. Threads are those of "
        "OMP_NUM_THREADS, one unless it is set.",
    )
    rules.add_argument("--n", type=int, default=100, metavar="N", help="messages (100)")
    rules.add_argument("--f", type=int, default=20, metavar="F", help="faulty ones (20)")
    rules.add_argument(
        "--dimension", type=int, default=1_000_000, metavar="Q", help="length (1000000)"
    )
    rules.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    rules.add_argument("--repeats", type=int, default=7, metavar="R", help="timed calls (7)")
    rules.add_argument("--rules", metavar="A,B", help="only these kinds")
    add_json(rules)
    rules.set_defaults(module="bench", function="bench")
    codecs = _command(
        subjects,
        "codecs",
        "compression beside a copy of the vectors",
        "Time how fast every codec turns vectors into messages and messages into vectors, "
        "header and checksum included, on one thread, beside a copy measured in the same run.",
    )
    codecs.add_argument("--devices", type=int, default=8, metavar="N", help="vectors (8)")
    codecs.add_argument(
        "--dimension", type=int, default=1_000_000, metavar="Q", help="length (1000000)"
    )
    codecs.add_argument("--dtype", choices=("float64", "float32"), default="float32")
    codecs.add_argument(
        "--backend", choices=("numpy", "cupy"), default="numpy", help="cupy: on a GPU"
    )
    codecs.add_argument("--repeats", type=int, default=7, metavar="R", help="timed calls (7)")
    codecs.add_argument("--codecs", metavar="A,B", help="only these kinds")
    add_json(codecs)
    codecs.set_defaults(module="bench", function="codecs")
    add_rank_benches(subjects, _command)


def _add_analysis(commands: argparse._SubParsersAction[_Parser]) -> None:
    # No word begins so, so that none is an option here: the analysis has a parser of its own.
    analysis = commands.add_parser(
        "analysis", help="tables and figures from logs", add_help=False, prefix_chars="\0"
    )
    analysis.add_argument("words", nargs=argparse.REMAINDER)
    analysis.set_defaults(module="analysis", function="analysis")


def _add_doctor(commands: argparse._SubParsersAction[_Parser]) -> None:
    doctor = _command(
        commands,
        "doctor",
        "check whether a run can be trusted here",
        "Check this process, or all ranks under mpirun or srun: launcher and MPI, versions, "
        "processors and threads, inherited variables, GPUs, and HDF5 in the folder of the logs. "
        "Each finding comes with its fix. The exit code is 5 if a run could not be trusted.",
    )
    doctor.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("results"),
        metavar="DIR",
        help="folder of the logs (default: results); it is not created",
    )
    add_json(doctor)
    doctor.set_defaults(module="doctor", function="doctor")


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    short: str,
    text: str,
) -> _Parser:
    parser = commands.add_parser(name, help=short, description=text)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show where in the code an error in the command's input arose",
    )
    return parser


def _add_host_details(parser: _Parser) -> None:
    parser.add_argument(
        "--no-host-details",
        dest="host_details",
        action="store_false",
        help="keep the command line, processes, and names of hosts and jobs out of the log, as "
        "logging.host_details = false does",
    )


def _add_force(parser: _Parser) -> None:
    parser.add_argument(
        "--force",
        action="store_true",
        help="run where `lad-mpi doctor` finds that a run cannot be trusted; the log says so",
    )


def _add_progress(parser: _Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--progress",
        choices=_PROGRESS_KINDS,
        default="auto",
        help="a bar, plain lines for a batch log, or neither; auto takes a bar on a terminal "
        "(launchers hide the terminal from ranks, so say bar under mpirun)",
    )
