"""Arguments of the commands that measure and of what is predicted from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.arguments import add_json, add_overrides
from lad_mpi.terminal import path_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    _Parser = argparse.ArgumentParser
    _Commands = argparse._SubParsersAction[Any]  # noqa: SLF001
    #: Adds a command of a name, a short and a long text.
    _Add = Callable[[_Commands, str, str, str], argparse.ArgumentParser]


def add_rank_benches(subjects: _Commands, command: _Add) -> None:
    """Describe ``lad-mpi bench collectives`` and ``iteration``."""
    collectives = command(
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
    add_json(collectives)
    collectives.set_defaults(module="bench_ranks", function="collectives")
    iteration = command(
        subjects,
        "iteration",
        "what an iteration costs beside compute, collectives and aggregation",
        "Run a spec, the default one unless given, into a temporary log, and hold the sum of its "
        "phases against the wall clock.",
    )
    iteration.add_argument("spec", type=path_argument, nargs="?", metavar="SPEC.toml")
    add_overrides(iteration)
    add_json(iteration)
    iteration.set_defaults(module="bench_ranks", function="iteration")


def add_baseline(commands: _Commands, command: _Add) -> None:
    """Describe ``lad-mpi baseline``."""
    baseline = command(
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
        type=path_argument,
        default=Path("results"),
        metavar="OUT",
        help="file (*.json) or folder for it (default: results); HDF5 is measured there",
    )
    baseline.add_argument(
        "--against",
        type=path_argument,
        metavar="FILE",
        help="compare with an earlier baseline; exit code 3 if the machine has changed",
    )
    _add_drift(baseline)
    add_json(baseline)
    baseline.set_defaults(module="baseline", function="baseline")


def add_scale(commands: _Commands, command: _Add) -> None:
    """Describe ``lad-mpi scale``."""
    scale = command(
        commands,
        "scale",
        "a scaling study: separate launches on rising numbers of ranks",
        "Launch a spec on several numbers of ranks, several times, in random order, inside the "
        "current allocation. Every launch has to give the bits of the one-process run, or its "
        "times are void. A baseline is measured before and after. The same command goes on "
        "where it was interrupted; lad-mpi analysis scaling DIR shows the result.",
    )
    scale.add_argument(
        "kind",
        choices=("strong", "weak"),
        help="strong: the same work at every P; weak: the same work a device rank",
    )
    scale.add_argument("spec", type=path_argument, metavar="SPEC.toml")
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
    add_overrides(scale)
    scale.add_argument(
        "-o",
        "--output",
        type=path_argument,
        metavar="DIR",
        help="folder (default: results/KIND-NAME)",
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
        help="what starts ranks, without -n (default: the mpiexec beside Python; without it srun "
        "in a SLURM job, and any mpiexec elsewhere)",
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
    add_json(scale)
    scale.set_defaults(module="scale", function="scale", prints=False)


def add_forecast(commands: _Commands, command: _Add) -> None:
    """Describe ``lad-mpi forecast``."""
    forecast = command(
        commands,
        "forecast",
        "what an iteration, and an error, would cost elsewhere",
        "Fit a cost model on the runs of scaling studies or of folders of logs, hold it against "
        "the largest measured case, which is left out for that, and predict the time of an "
        "iteration and to a target error at other ranks, loads, dimensions and networks. What "
        "this assumes is listed. Exit code 1 if the case that was left out is not predicted.",
    )
    forecast.add_argument(
        "study",
        type=path_argument,
        nargs="+",
        metavar="STUDY",
        help="folder that lad-mpi scale wrote, or that is searched for logs (*.h5)",
    )
    measured = "(default: those measured)"
    forecast.add_argument("--ranks", metavar="P,P", help=f"numbers of ranks {measured}")
    forecast.add_argument("--load", metavar="D,D", help=f"subsets a device {measured}")
    forecast.add_argument("--dimension", metavar="Q,Q", help=f"length of the model {measured}")
    forecast.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="TEXT",
        help="in place of the communication that was measured: latency=2us,bandwidth=25GB/s; may "
        "be repeated",
    )
    forecast.add_argument(
        "--target-error", type=float, metavar="E", help="show the time to this error, too"
    )
    forecast.add_argument(
        "--metric",
        choices=("loss", "gradient_norm", "distance_to_optimum"),
        default="loss",
        help="which error of the logs the target is of (loss)",
    )
    forecast.add_argument(
        "-o",
        "--output",
        type=path_argument,
        metavar="FOLDER",
        help="draw the figures into this folder",
    )
    add_json(forecast)
    forecast.set_defaults(module="forecast", function="forecast")


def _add_drift(parser: _Parser) -> None:
    parser.add_argument(
        "--drift",
        type=float,
        default=0.15,
        metavar="X",
        help="relative change of a median, beyond its spread, that counts as one (0.15)",
    )
