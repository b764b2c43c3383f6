"""``lad-mpi scale``."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.cli.analysis import import_analysis
from lad_mpi.cli.arguments import refuse_ranks, whole_numbers
from lad_mpi.cli.tables import print_json
from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.measure.scale import (
    LaunchCommand,
    ScaleOptions,
    default_launcher,
    parse_axis,
    plan_scaling,
    planned_launches,
    run_scaling,
)
from lad_mpi.measure.scale.launcher import StoppedError, parse_launcher
from lad_mpi.measure.scale.run import new_record, run_arguments
from lad_mpi.spec import load_spec
from lad_mpi.text import one_line
from lad_mpi.training.interrupt import InterruptRequest

if TYPE_CHECKING:
    import argparse

    from lad_mpi.measure.scale import ScalePlan
    from lad_mpi.records import ScalingLaunch, ScalingRecord


def scale(options: argparse.Namespace) -> ExitCode:
    """Run a scaling study, or continue one."""
    refuse_ranks("lad-mpi scale starts the ranks itself, and was started on several")
    spec = load_spec(options.spec, options.overrides)
    over = dict(parse_axis(text, spec) for text in options.over)
    plan = plan_scaling(
        options.kind,
        spec,
        whole_numbers("--ranks", options.ranks, "2,3,5,9"),
        over=over,
        growth=options.grow,
    )
    words = parse_launcher(options.launcher) if options.launcher else default_launcher()
    launcher = LaunchCommand(words)
    settings = _settings(options)
    if options.dry_run:
        _print_plan(plan, launcher, settings, as_json=options.json)
        return ExitCode.OK
    folder = options.output or Path("results") / f"{options.kind}-{_slug(spec.name)}"
    with InterruptRequest() as interrupt:
        try:
            record = run_scaling(
                plan,
                launcher,
                folder,
                settings,
                _Lines(),
                stopping=lambda: bool(interrupt.signal_name),
            )
        except StoppedError:
            sys.stderr.write("interrupted; repeat the command to run what is missing\n")
            return ExitCode.CHECKPOINTED
    void = _void_claims(record, folder)
    if options.json:
        document = {**dataclasses.asdict(record), "void_claims": void}
        print_json(document)
    else:
        _report(record, void, folder)
    voided = void or any(launch.void for launch in record.launches)
    return ExitCode.FAILED if voided else ExitCode.OK


class _Lines:
    """Lines on standard error: launches take long, and standard output may be a file."""

    def begin(self, what: str, position: int, total: int) -> None:
        where = f"[{position}/{total}] " if position else ""
        sys.stderr.write(f"{where}{what}\n")

    def end(self, launch: ScalingLaunch) -> None:
        if launch.void:
            sys.stderr.write(f"  void: {one_line(launch.void)}\n")


def _settings(options: argparse.Namespace) -> ScaleOptions:
    if options.launches < 1:
        raise UsageError(f"--launches {options.launches}: expected at least 1")
    for name in ("tolerance", "drift", "timeout"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"--{name} {value}: expected a positive number")
    return ScaleOptions(
        launches=options.launches,
        seed=options.seed,
        tolerance=options.tolerance,
        baseline=options.baseline,
        drift=options.drift,
        timeout_s=options.timeout,
    )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "=-_." else "-" for c in name.lower())


def _print_plan(
    plan: ScalePlan, launcher: LaunchCommand, settings: ScaleOptions, *, as_json: bool
) -> None:
    ordered = planned_launches([case for case, _ in plan.cases], settings.launches, settings.seed)
    commands = [
        launcher.command(planned.case.ranks, run_arguments(planned.case.spec, planned.log))
        for planned in ordered
    ]
    if as_json:
        document = dataclasses.asdict(new_record(plan, launcher, settings))
        print_json({**document, "commands": commands})
        return
    sys.stdout.write(f"# {plan.kind} scaling of {plan.name}; base case {plan.base.name}\n")
    sys.stdout.write(f"# {plan.growth_rule}\n")
    for command in commands:
        sys.stdout.write(f"{shlex.join(command)}\n")


def _void_claims(record: ScalingRecord, folder: Path) -> list[str]:
    """Return which claims are void and why, as the analysis judges."""
    if all(launch.void for launch in record.launches):
        return record.void
    scaling = import_analysis("analysis.scaling")
    study = scaling.load_scaling(folder)
    lines: list[str] = scaling.void_lines(scaling.summarise_scaling(study), study)
    return lines


def _report(record: ScalingRecord, claims: list[str], folder: Path) -> None:
    void = [launch for launch in record.launches if launch.void]
    sys.stdout.write(
        f"{len(record.launches)} launches of {len(record.cases)} cases, {len(void)} void; "
        f"record in {folder}\n"
    )
    for launch in void:
        sys.stdout.write(one_line(f"void: {launch.log}: {launch.void}") + "\n")
    for claim in claims:
        sys.stdout.write(one_line(f"VOID, {claim}") + "\n")
    sys.stdout.write(f"lad-mpi analysis scaling {shlex.quote(str(folder))}\n")
