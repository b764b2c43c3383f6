"""The command line: arguments of all commands, and dispatch to the one that is called.

Nothing heavy is imported here. The module of a command is imported when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi._version import __version__
from lad_mpi.cli.arguments import Parser, add_command, add_json, add_overrides, seconds_argument
from lad_mpi.cli.measuring import add_baseline, add_bench, add_forecast, add_scale
from lad_mpi.terminal import open_streams, path_argument, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lad_mpi.cli.arguments import Commands

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRESS_KINDS = ("auto", "bar", "lines", "none")


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
    parser = Parser(
        prog="lad-mpi",
        description="Benchmark Byzantine-robust, coded and compressed distributed training under "
        "MPI.",
    )
    parser.add_argument("--version", action="version", version=f"lad-mpi {__version__}")
    # ``prints``: the command fails if its output cannot be written.
    parser.set_defaults(prints=True, json=False, dry_run=False, verbose=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_study(commands)
    _add_show(commands)
    _add_validate(commands)
    _add_components(commands)
    _add_schema(commands)
    add_bench(commands)
    add_baseline(commands)
    add_scale(commands)
    add_forecast(commands)
    _add_analysis(commands)
    _add_doctor(commands)
    return parser


def limit_threads() -> None:
    """Give linear algebra one thread a rank, unless the environment says otherwise.

    Otherwise every rank would start one thread for each core. The variables must be set
    before NumPy is imported.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, threads)


def _add_run(commands: Commands) -> None:
    run = add_command(
        commands,
        "run",
        "run one spec",
        "Run one spec and write its log. Without a launcher it runs in one process. Under mpirun "
        "or srun, rank 0 is the server and the other ranks host the devices.",
    )
    run.add_argument("spec", type=path_argument, metavar="SPEC.toml", help="spec of the run")
    add_overrides(run)
    run.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("results"),
        metavar="OUT",
        help="log file (*.h5), or folder for it (default: results)",
    )
    existing = run.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace an existing log")
    existing.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run, or start it if there is none",
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check the spec, print it with all defaults, and run nothing",
    )
    _add_host_details(run)
    _add_force(run)
    _add_progress(run)
    run.set_defaults(module="run", function="run", prints=False)


def _add_study(commands: Commands) -> None:
    study = commands.add_parser("study", help="do many runs from one file")
    actions = study.add_subparsers(metavar="ACTION", required=True)
    texts = {
        "run": (
            "do all runs that are not complete",
            (
                "Do the runs of a study one after another, in one launch. Skip complete runs. "
                "If a run fails, continue with the next one."
            ),
        ),
        "plan": ("list the runs", "List the runs of a study and their log files."),
        "status": (
            "show the state of the runs",
            ("Show the state of each run of a study, from its log and from the queue."),
        ),
        "watch": (
            "watch the runs, from any shell that sees the logs",
            (
                "Show the runs of a study as they go: a live view on a terminal, and lines "
                "elsewhere. It only reads. It ends with q or Ctrl-C, or when no run is pending or "
                "running. The exit code is 1 if a run did not complete."
            ),
        ),
        "submit": (
            "submit the runs that are missing to SLURM",
            (
                "Write a job script for the runs that are neither complete nor in the queue, and "
                "submit it with sbatch. Record the submission in the folder of the logs."
            ),
        ),
    }
    for name, (short, text) in texts.items():
        action = add_command(actions, name, short, text)
        action.add_argument(
            "study", type=path_argument, metavar="STUDY.toml", help="file of the study"
        )
        action.add_argument(
            "-o",
            "--output",
            type=path_argument,
            metavar="DIR",
            help="folder of the logs (default: results/NAME)",
        )
        action.set_defaults(
            module=name if name in ("submit", "watch") else "study",
            function=name,
            prints=name in ("plan", "status", "watch"),
            overrides=[],
            share="",
        )
        if name == "submit":
            _add_submission(action)
        else:
            add_overrides(action, "the base of the study")
        _add_selection(action)
        if name == "run":
            _add_share(action)
            _add_host_details(action)
            _add_force(action)
            _add_progress(action)
        elif name == "watch":
            _add_looks(action)
        else:
            add_json(action)


def _add_selection(action: Parser) -> None:
    action.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="choose the runs with this name, pattern of names such as 'LAD*', or id; commas "
        "separate several; may be repeated",
    )
    action.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="choose the runs whose spec fulfils this, such as 'attack.kind=ipm and "
        "coding.load>=10'; may be repeated",
    )


def _add_share(action: Parser) -> None:
    action.add_argument(
        "--share",
        default="",
        metavar="K/M",
        help="do only the runs K, K+M, K+2M, … of those, counted from 0; for tasks of a job array",
    )


def _add_looks(action: Parser) -> None:
    looks = action.add_mutually_exclusive_group()
    looks.add_argument(
        "--every",
        type=seconds_argument,
        metavar="SECONDS",
        help="time between two looks at the logs (default: 2 on a terminal, 30 elsewhere)",
    )
    looks.add_argument("--once", action="store_true", help="look once and leave")


def _add_submission(action: Parser) -> None:
    action.add_argument(
        "--cluster",
        type=path_argument,
        required=True,
        metavar="C",
        help="path of a cluster file, or the name of one in jobs/clusters or in the suite, such "
        "as mpich",
    )
    layout = action.add_mutually_exclusive_group()
    layout.add_argument(
        "--packed",
        action="store_true",
        help="put all runs into one job, one after another (default)",
    )
    layout.add_argument(
        "--array", action="store_true", help="submit a job array whose tasks share the runs"
    )
    action.add_argument(
        "--set",
        dest="cluster_overrides",
        action="append",
        default=[],
        metavar="KEY=V",
        help="change a value of the cluster file, such as time=04:00:00; may be repeated",
    )
    action.add_argument(
        "--dry-run", action="store_true", help="print the job script and submit nothing"
    )


def _add_show(commands: Commands) -> None:
    show = add_command(
        commands,
        "show",
        "summarise logs",
        "Summarise one log, or list several, one a line. The exit code is 1 if a log cannot be "
        "read.",
    )
    show.add_argument(
        "logs",
        type=path_argument,
        nargs="+",
        metavar="PATH",
        help="log of a run, or folder that is searched for logs",
    )
    show.add_argument("--spec", action="store_true", help="print only the spec, with all defaults")
    add_json(show)
    show.set_defaults(module="show", function="show")


def _add_validate(commands: Commands) -> None:
    validate = add_command(
        commands,
        "validate",
        "check logs, specs and studies",
        "Check that logs (*.h5) follow the log format, and that specs and studies (*.toml) can be "
        "run. The exit code is 1 if there are findings.",
    )
    validate.add_argument(
        "files",
        type=path_argument,
        nargs="+",
        metavar="PATH",
        help="log, spec or study, or folder that is searched for logs",
    )
    add_json(validate)
    validate.set_defaults(module="show", function="validate")


def _add_components(commands: Commands) -> None:
    components = add_command(
        commands,
        "components",
        "list problems, codes, codecs, attacks and rules",
        "List all components with their parameters, defaults, references and costs, and the "
        "proven robustness coefficient κ of rules. With KIND, show one component in full.",
    )
    components.add_argument(
        "kind", nargs="?", metavar="KIND", help="show only this component, in full"
    )
    components.add_argument(
        "--n", type=int, default=100, metavar="N", help="number of messages, for κ (default: 100)"
    )
    components.add_argument(
        "--f",
        type=int,
        default=20,
        metavar="F",
        help="number of Byzantine messages, for κ (default: 20)",
    )
    add_json(components)
    components.set_defaults(module="components", function="components")


def _add_schema(commands: Commands) -> None:
    schema = add_command(
        commands,
        "schema",
        "print a JSON Schema for spec, study or cluster files",
        "Print the JSON Schema that editors use to complete and check spec, study or cluster "
        "files. It includes the components of all installed packages.",
    )
    schema.add_argument(
        "file",
        nargs="?",
        choices=("spec", "study", "cluster"),
        default="spec",
        help="kind of file (default: spec)",
    )
    schema.add_argument(
        "--markdown", action="store_true", help="print docs/reference.md, the reference of all keys"
    )
    schema.set_defaults(module="schema", function="schema")


def _add_analysis(commands: Commands) -> None:
    # The analysis has a parser of its own. No word starts with NUL, so none is an option here.
    analysis = commands.add_parser(
        "analysis", help="make tables and figures from logs", add_help=False, prefix_chars="\0"
    )
    analysis.add_argument("words", nargs=argparse.REMAINDER)
    analysis.set_defaults(module="analysis", function="analysis")


def _add_doctor(commands: Commands) -> None:
    doctor = add_command(
        commands,
        "doctor",
        "check whether a run can be trusted here",
        "Check this process, or all ranks under mpirun or srun: launcher and MPI, versions, "
        "processors and threads, inherited variables, GPUs, and HDF5 in the folder of the logs. "
        "Each problem comes with its fix. The exit code is 5 if a run could not be trusted.",
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


def _add_host_details(parser: Parser) -> None:
    parser.add_argument(
        "--no-host-details",
        dest="host_details",
        action="store_false",
        help="omit the command line, processes, and names of hosts and jobs from the log, like "
        "logging.host_details = false",
    )


def _add_force(parser: Parser) -> None:
    parser.add_argument(
        "--force",
        action="store_true",
        help="run even if a check of `lad-mpi doctor` is fatal; the log records the finding",
    )


def _add_progress(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--progress",
        choices=_PROGRESS_KINDS,
        default="auto",
        help="how to show progress: a bar, or lines for a batch log. auto shows a bar on a "
        "terminal; under mpirun choose bar, because launchers hide the terminal from ranks",
    )
