"""Arguments of the commands that measure, and of the forecast that uses what they measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.cli.arguments import add_command, add_json, add_overrides
from lad_mpi.terminal import path_argument

if TYPE_CHECKING:
    from lad_mpi.cli.arguments import Commands, Parser


def add_bench(commands: Commands) -> None:
    """Describe ``lad-mpi bench``."""
    bench = commands.add_parser("bench", help="time parts of the suite on this machine")
    subjects = bench.add_subparsers(metavar="SUBJECT", required=True)
    _add_rules(subjects)
    _add_codecs(subjects)
    _add_collectives(subjects)
    _add_iteration(subjects)


def _add_rules(subjects: Commands) -> None:
    rules = add_command(
        subjects,
        "rules",
        "time aggregation rules, relative to one read and one Gram product",
        "Time every rule and pre-aggregation. The table shows each median, also as a multiple of "
        "the time to read the messages once or to compute their Gram product. OMP_NUM_THREADS "
        "sets the number of threads (default: 1).",
    )
    rules.add_argument(
        "--n", type=int, default=100, metavar="N", help="number of messages (default: 100)"
    )
    rules.add_argument(
        "--f", type=int, default=20, metavar="F", help="number of Byzantine messages (default: 20)"
    )
    rules.add_argument(
        "--dimension",
        type=int,
        default=1_000_000,
        metavar="Q",
        help="numbers per message (default: 1000000)",
    )
    rules.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="default: float64"
    )
    rules.add_argument(
        "--repeats", type=int, default=7, metavar="R", help="timed rounds (default: 7)"
    )
    rules.add_argument("--rules", metavar="A,B", help="time only these rules")
    add_json(rules)
    rules.set_defaults(module="bench", function="rules")


def _add_codecs(subjects: Commands) -> None:
    codecs = add_command(
        subjects,
        "codecs",
        "time codecs, relative to a copy of the vectors",
        "Time how fast every codec turns vectors into messages and back, with header and "
        "checksum, on one thread. For comparison, also time a copy of the vectors.",
    )
    codecs.add_argument(
        "--devices", type=int, default=8, metavar="N", help="number of vectors (default: 8)"
    )
    codecs.add_argument(
        "--dimension",
        type=int,
        default=1_000_000,
        metavar="Q",
        help="numbers per message (default: 1000000)",
    )
    codecs.add_argument(
        "--dtype", choices=("float64", "float32"), default="float32", help="default: float32"
    )
    codecs.add_argument(
        "--backend",
        choices=("numpy", "cupy"),
        default="numpy",
        help="cupy times them on a GPU (default: numpy)",
    )
    codecs.add_argument(
        "--repeats", type=int, default=7, metavar="R", help="timed rounds (default: 7)"
    )
    codecs.add_argument("--codecs", metavar="A,B", help="time only these codecs")
    add_json(codecs)
    codecs.set_defaults(module="bench", function="codecs")


def _add_collectives(subjects: Commands) -> None:
    collectives = add_command(
        subjects,
        "collectives",
        "time broadcast and gather, relative to plain MPI calls",
        "Time the suite's broadcast and gather, and plain MPI calls with the same number of bytes, "
        "in turn. The table shows medians. Start it under mpirun or srun, on two or more ranks.",
    )
    collectives.add_argument(
        "--n", type=int, default=100, metavar="N", help="number of devices (default: 100)"
    )
    collectives.add_argument(
        "--dimensions",
        default="100,10000,100000",
        metavar="Q,Q",
        help="lengths of the vectors (default: 100,10000,100000)",
    )
    collectives.add_argument(
        "--repeats", type=int, default=51, metavar="R", help="rounds (default: 51)"
    )
    collectives.add_argument(
        "--servers",
        type=int,
        default=1,
        metavar="S",
        help="ranks that share long messages (default: 1)",
    )
    add_json(collectives)
    collectives.set_defaults(module="bench", function="collectives")


def _add_iteration(subjects: Commands) -> None:
    iteration = add_command(
        subjects,
        "iteration",
        "time the phases of an iteration beside their bounds",
        "Run a spec with a temporary log, and show the time of each phase beside a bound: the time "
        "that the least work of the phase takes on this machine, measured after the run. It is "
        "the time to read and write the data once, or of the matrix products or checksums alone. "
        "Also compare the phases with the wall clock. Overhead is the time outside compute, "
        "collectives, aggregation and evaluation.",
    )
    iteration.add_argument(
        "spec",
        type=path_argument,
        nargs="?",
        metavar="SPEC.toml",
        help="spec of the run (default: all keys at their defaults)",
    )
    iteration.add_argument(
        "--dimension",
        metavar="Q",
        help="set data.dimension, the number of features, such as 1e6; without a spec, also set a "
        "step size with which training does not diverge",
    )
    iteration.add_argument("--load", metavar="D", help="set coding.load, subsets per device")
    iteration.add_argument(
        "--iterations",
        metavar="T",
        help="iterations to run, evaluated once at the end (default: those of the spec; 40 with "
        "--dimension)",
    )
    add_overrides(iteration)
    add_json(iteration)
    iteration.set_defaults(module="bench", function="iteration")


def add_baseline(commands: Commands) -> None:
    """Describe ``lad-mpi baseline``."""
    baseline = add_command(
        commands,
        "baseline",
        "measure what this machine can do",
        "Measure memory, arithmetic, messages, HDF5 and GPU, in one process or on all ranks under "
        "mpirun or srun, and write all samples as JSON. Scaling studies derive their bounds from "
        "them. This takes minutes, or seconds with --quick.",
    )
    baseline.add_argument(
        "--quick", action="store_true", help="measure fewer sizes, with fewer repetitions"
    )
    baseline.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default=Path("results"),
        metavar="OUT",
        help="JSON file, or folder for it (default: results); HDF5 is measured in this folder",
    )
    baseline.add_argument(
        "--against",
        type=path_argument,
        metavar="FILE",
        help="compare with an earlier baseline; the exit code is 3 if the machine changed",
    )
    _add_drift(baseline)
    add_json(baseline)
    baseline.set_defaults(module="baseline", function="baseline")


def add_scale(commands: Commands) -> None:
    """Describe ``lad-mpi scale``."""
    scale = add_command(
        commands,
        "scale",
        "measure strong or weak scaling with separate launches",
        "Launch a spec several times on each number of ranks, in random order, inside the current "
        "allocation. Measure a baseline before and after. A launch whose results differ from "
        "those of one process is void. Repeat the command to continue an interrupted study. "
        "lad-mpi analysis scaling DIR shows the result.",
    )
    scale.add_argument(
        "kind",
        choices=("strong", "weak"),
        help="strong: the same total work at every P; weak: the same work for each device rank",
    )
    scale.add_argument("spec", type=path_argument, metavar="SPEC.toml", help="spec to launch")
    scale.add_argument(
        "--ranks", default="2,3,5,9", metavar="P,P", help="numbers of ranks (default: 2,3,5,9)"
    )
    scale.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="vary another key of the spec, such as load=1,5,10; may be repeated",
    )
    scale.add_argument(
        "--grow",
        choices=("samples", "dimension", "devices"),
        help="weak: what grows with the number of device ranks (default: samples)",
    )
    add_overrides(scale)
    scale.add_argument(
        "-o",
        "--output",
        type=path_argument,
        metavar="DIR",
        help="folder of the study (default: results/KIND-NAME)",
    )
    _add_launches(scale)
    scale.add_argument("--dry-run", action="store_true", help="print the launches and run nothing")
    _add_drift(scale)
    add_json(scale)
    scale.set_defaults(module="scale", function="scale", prints=False)


def _add_launches(scale: Parser) -> None:
    """Describe how launches are made and judged."""
    scale.add_argument(
        "--launches", type=int, default=5, metavar="L", help="launches of each case (default: 5)"
    )
    scale.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="S",
        help="seed of the order of launches (default: 1)",
    )
    scale.add_argument(
        "--tolerance",
        type=float,
        metavar="T",
        help="accept results with this relative difference from those of one process (default: "
        "accept only equal bits)",
    )
    scale.add_argument(
        "--launcher",
        metavar="WORDS",
        help="command that starts ranks, without -n (default: the mpiexec in the folder of Python, "
        "else srun in a SLURM job, else mpiexec)",
    )
    scale.add_argument(
        "--baseline",
        choices=("quick", "full", "none"),
        default="quick",
        help="baseline to measure before and after the launches (default: quick)",
    )
    scale.add_argument(
        "--timeout",
        type=float,
        default=3600.0,
        metavar="S",
        help="time limit of a launch, in seconds (default: 3600)",
    )


def add_forecast(commands: Commands) -> None:
    """Describe ``lad-mpi forecast``."""
    forecast = add_command(
        commands,
        "forecast",
        "predict costs on other ranks and networks",
        "Predict the time of an iteration, and the time to a target, of measured methods on other "
        "numbers of ranks and other networks. Rank the methods, with intervals, and list the "
        "assumptions. With --check, compare the predictions with later measurements; the exit "
        "code is 1 if one is outside its interval.",
    )
    forecast.add_argument(
        "study",
        type=path_argument,
        nargs="+",
        metavar="STUDY",
        help="folder of a scaling study, or of logs (*.h5)",
    )
    forecast.add_argument("--ranks", metavar="P,P", help="numbers of ranks (default: as measured)")
    forecast.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="TEXT",
        help="a network, such as latency=1ms,bandwidth=40Mbit/s, instead of the measured one; may "
        "be repeated",
    )
    forecast.add_argument(
        "--target",
        metavar="[METRIC=]VALUE",
        help="also rank the methods by the time to reach a value of a metric of the logs, such as "
        "test_accuracy=0.9; a number alone is a loss",
    )
    forecast.add_argument(
        "--where",
        metavar="CONDITION",
        help="only use runs that fulfil a condition, e.g. 'attack=ipm and devices.byzantine>=20'",
    )
    forecast.add_argument(
        "--check",
        type=path_argument,
        action="append",
        default=[],
        metavar="STUDY",
        help="compare the predictions with these runs; may be repeated",
    )
    add_json(forecast)
    forecast.set_defaults(module="forecast", function="forecast")


def _add_drift(parser: Parser) -> None:
    parser.add_argument(
        "--drift",
        type=float,
        default=0.15,
        metavar="X",
        help="relative change of a median that counts as drift (default: 0.15)",
    )
