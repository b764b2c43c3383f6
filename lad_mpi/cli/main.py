"""Arguments, dispatch, and how errors reach the person at the terminal.

Nothing heavy is imported here: a command imports what it needs once it is known.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lad_mpi._version import __version__
from lad_mpi.errors import ExitCode, LadError, RelayedError
from lad_mpi.launchers import announced_rank

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
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        command = importlib.import_module(f"lad_mpi.cli.{options.module}")
        return int(getattr(command, options.function)(options))
    except LadError as error:
        if announced_rank() == 0 and not isinstance(error, RelayedError):
            print_error(error, verbose=options.verbose)
        return int(error.exit_code)
    except KeyboardInterrupt:
        # Before there was anything to end in order.
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = _Parser(
        prog="lad-mpi",
        description="Byzantine-robust, coded and compressed distributed training under MPI.",
    )
    parser.add_argument("--version", action="version", version=f"lad-mpi {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_study(commands)
    _add_show(commands)
    _add_validate(commands)
    _add_components(commands)
    _add_bench(commands)
    _add_baseline(commands)
    _add_scale(commands)
    _add_doctor(commands)
    return parser


def print_error(error: LadError, *, verbose: bool) -> None:
    """Write an error for a person; with its traceback if asked for."""
    if verbose:
        traceback.print_exception(error)
    sys.stderr.write(f"lad-mpi: error: {error}\n")


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
    run.add_argument("spec", type=Path, metavar="SPEC.toml")
    run.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="A.B=V",
        help="change one value of the spec; may be repeated",
    )
    run.add_argument(
        "-o",
        "--output",
        type=Path,
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
    _add_force(run)
    _add_progress(run)
    run.set_defaults(module="run", function="run")


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
        "status": ("show what is done", "Show what has become of each run of a study."),
    }
    for name, (short, text) in texts.items():
        action = _command(actions, name, short, text)
        action.add_argument("study", type=Path, metavar="STUDY.toml")
        action.add_argument(
            "-o",
            "--output",
            type=Path,
            metavar="DIR",
            help="folder of the logs (default: results/NAME of the study)",
        )
        if name == "run":
            _add_force(action)
            _add_progress(action)
        else:
            _add_json(action)
        action.set_defaults(module="study", function=name)


def _add_show(commands: argparse._SubParsersAction[_Parser]) -> None:
    show = _command(commands, "show", "summarise a log", "Summarise one log.")
    show.add_argument("log", type=Path, metavar="FILE.h5")
    show.add_argument("--spec", action="store_true", help="print the resolved spec only")
    _add_json(show)
    show.set_defaults(module="show", function="show")


def _add_validate(commands: argparse._SubParsersAction[_Parser]) -> None:
    validate = _command(
        commands,
        "validate",
        "check logs, specs and studies",
        "Check that logs (*.h5) keep the format and that specs and studies (*.toml) can be run.",
    )
    validate.add_argument("files", type=Path, nargs="+", metavar="FILE")
    _add_json(validate)
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
    _add_json(components)
    components.set_defaults(module="components", function="components")


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
    _add_json(rules)
    rules.set_defaults(module="bench", function="bench")
    collectives = _command(
        subjects,
        "collectives",
        "broadcast and gather beside MPI's own",
        "Under mpirun or srun: time the suite's broadcast and gather, with real slots, and the "
        "bare collectives of the same bytes, in turn, in medians.",
    )
    collectives.add_argument("--n", type=int, default=100, metavar="N", help="devices (100)")
    collectives.add_argument(
        "--dimensions", default="100,10000,100000", metavar="Q,Q", help="(100,10000,100000)"
    )
    collectives.add_argument("--repeats", type=int, default=51, metavar="R", help="rounds (51)")
    _add_json(collectives)
    collectives.set_defaults(module="bench_ranks", function="collectives")
    iteration = _command(
        subjects,
        "iteration",
        "what an iteration costs beside compute, collectives and aggregation",
        "Run a spec, the default one unless given, into a temporary log, and hold the sum of its "
        "phases against the wall clock.",
    )
    iteration.add_argument("spec", type=Path, nargs="?", metavar="SPEC.toml")
    iteration.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="A.B=V",
        help="change one value of the spec; may be repeated",
    )
    _add_json(iteration)
    iteration.set_defaults(module="bench_ranks", function="iteration")


def _add_baseline(commands: argparse._SubParsersAction[_Parser]) -> None:
    baseline = _command(
        commands,
        "baseline",
        "measure what this machine can do",
        "Measure memory, arithmetic, messages, HDF5 and GPU, alone or on all ranks under mpirun "
        "or srun, and write all samples as JSON: the bounds that scaling studies are shown "
        "beside. Takes minutes, with --quick seconds.",
    )
    baseline.add_argument("--quick", action="store_true", help="fewer sizes and repetitions")
    baseline.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("results"),
        metavar="OUT",
        help="file (*.json) or folder for it (default: results); HDF5 is measured there",
    )
    baseline.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="compare with an earlier baseline; exit code 3 if the machine has changed",
    )
    _add_drift(baseline)
    _add_json(baseline)
    baseline.set_defaults(module="baseline", function="baseline")


def _add_scale(commands: argparse._SubParsersAction[_Parser]) -> None:
    scale = _command(
        commands,
        "scale",
        "a scaling study: separate launches on rising numbers of ranks",
        "Launch a spec on several numbers of ranks, several times, in random order, inside the "
        "current allocation. Every launch has to give the bits of the one-process run, or its "
        "times are void. A baseline is measured before and after. The same command goes on "
        "where it was interrupted; python -m analysis scaling DIR shows the result.",
    )
    scale.add_argument(
        "kind",
        choices=("strong", "weak"),
        help="strong: the same work at every P; weak: the same work a device rank",
    )
    scale.add_argument("spec", type=Path, metavar="SPEC.toml")
    scale.add_argument(
        "--ranks", default="2,3,5,9", metavar="P,P", help="numbers of ranks (2,3,5,9)"
    )
    scale.add_argument(
        "--launches", type=int, default=5, metavar="L", help="launches of each case (5)"
    )
    scale.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="an axis beside P, any key of the spec: load=1,5,10; may be repeated",
    )
    scale.add_argument(
        "--grow",
        choices=("samples", "dimension", "devices"),
        help="weak: what grows with the number of device ranks (samples)",
    )
    scale.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="A.B=V",
        help="change one value of the spec; may be repeated",
    )
    scale.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder (default: results/KIND-NAME)"
    )
    scale.add_argument("--seed", type=int, default=1, metavar="S", help="of the order (1)")
    scale.add_argument(
        "--tolerance",
        type=float,
        metavar="T",
        help="accept metrics within this relative difference instead of the same bits",
    )
    scale.add_argument(
        "--launcher",
        metavar="WORDS",
        help="what starts ranks, without -n (default: srun in a SLURM job, else mpiexec)",
    )
    scale.add_argument(
        "--baseline",
        choices=("quick", "full", "none"),
        default="quick",
        help="what is measured before and after (quick)",
    )
    scale.add_argument(
        "--timeout", type=float, default=3600.0, metavar="S", help="seconds a launch may take"
    )
    scale.add_argument("--dry-run", action="store_true", help="print the launches; run nothing")
    _add_drift(scale)
    _add_json(scale)
    scale.set_defaults(module="scale", function="scale")


def _add_drift(parser: _Parser) -> None:
    parser.add_argument(
        "--drift",
        type=float,
        default=0.15,
        metavar="X",
        help="relative change of a median, beyond its spread, that counts as one (0.15)",
    )


def _add_doctor(commands: argparse._SubParsersAction[_Parser]) -> None:
    doctor = _command(
        commands,
        "doctor",
        "say whether a run could be trusted here",
        "Examine this place, alone or on all ranks under mpirun or srun: launcher and MPI, "
        "versions, processors and threads, inherited variables, GPUs, clocks, and HDF5 where "
        "the logs would go. Each finding comes with its fix; exit code 5 if a run could not be "
        "trusted.",
        verbose="show all facts that were gathered, too",
    )
    doctor.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of the logs (default: results); it is not made",
    )
    _add_json(doctor)
    doctor.set_defaults(module="doctor", function="doctor")


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    short: str,
    text: str,
    *,
    verbose: str = "show where in the code an error in the command's input arose",
) -> _Parser:
    parser = commands.add_parser(name, help=short, description=text)
    parser.add_argument("-v", "--verbose", action="store_true", help=verbose)
    return parser


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


def _add_json(parser: _Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
