"""``lad-mpi study run``, ``plan`` and ``status``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.cli.progress import open_progress
from lad_mpi.cli.tables import print_json, print_table
from lad_mpi.cli.world import inspect_place, whole_world
from lad_mpi.errors import ExitCode, SchedulerError, UsageError
from lad_mpi.study import Study, follow_study, load_study, run_study, select_runs, study_status
from lad_mpi.transport import from_server

if TYPE_CHECKING:
    import argparse

    from lad_mpi.study import StudyResult


def run(options: argparse.Namespace) -> ExitCode:
    """Run a study on all ranks."""
    with whole_world(verbose=options.verbose) as (link, interrupt):
        studies: list[Study] = []

        def load() -> str:
            study = chosen_study(options)
            if not options.host_details:
                study = study.without_host_details()
            folder = study_folder(options, study)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"cannot create the folder {folder}: {error.strerror}",
                    hint="choose a writable folder with -o",
                ) from error
            studies.append(study)
            return str(folder)

        folder = Path(from_server(link, load))
        remarks = inspect_place(link, folder, force=options.force)
        with open_progress(options, link) as progress:
            if not link.is_server:
                follow_study(link, folder, progress, interrupt)
                return ExitCode(int(link.share("")))
            result = run_study(studies[0], link, folder, progress, interrupt, remarks=remarks)
        if result.interrupted:
            exit_code = ExitCode.CHECKPOINTED
        else:
            exit_code = ExitCode.FAILED if result.failed else ExitCode.OK
        link.share(str(int(exit_code)))
        _report(result, folder, quiet=options.quiet)
        return exit_code


def plan(options: argparse.Namespace) -> ExitCode:
    """List the runs of a study."""
    study = chosen_study(options)
    folder = study_folder(options, study)
    rows = [
        {
            "name": run.title,
            "seed": run.spec.seed,
            "id": run.run_id,
            "log": str(run.locate(folder)),
        }
        for run in study.runs
    ]
    if options.json:
        print_json(rows)
        return ExitCode.OK
    if study.description:
        sys.stdout.write(f"{study.description.strip()}\n\n")
    print_table(rows, columns={"name": "run", "seed": "seed", "log": "log"}, right=("seed",))
    sys.stdout.write(f"{len(rows)} runs\n")
    return ExitCode.OK


def status(options: argparse.Namespace) -> ExitCode:
    """Show the state of the runs of a study and of its jobs."""
    # Ranks that run a study do not need it.
    from lad_mpi.slurm import (  # noqa: PLC0415
        ask_queue,
        join_queue,
        known_jobs,
        read_submissions,
    )

    study = chosen_study(options)
    folder = study_folder(options, study)
    states = study_status(study, folder)
    try:
        submissions = read_submissions(folder)
        queue = ask_queue(known_jobs(states, submissions))
    except (UsageError, SchedulerError) as error:
        sys.stderr.write(f"lad-mpi: {error}\nthe following states are those of the logs alone\n")
        submissions, queue = [], {}
    found = join_queue(states, submissions, queue, folder)
    rows = [
        {
            "name": one.state.run.title,
            "seed": one.state.run.spec.seed,
            "id": one.state.run.run_id,
            "status": one.status,
            "iterations": f"{one.state.iterations}/{one.state.run.spec.iterations}",
            "job": "" if one.job is None else str(one.job),
            "failure": one.detail,
            "log": str(one.state.path),
        }
        for one in found
    ]
    if options.json:
        print_json(rows)
        return ExitCode.OK
    columns = {"name": "run", "seed": "seed", "status": "status", "iterations": "iterations"}
    optional = {"job": "job", "failure": "reason"}
    columns |= {key: title for key, title in optional.items() if any(row[key] for row in rows)}
    print_table(rows, columns=columns, right=("seed", "iterations"))
    counts = Counter(one.status for one in found)
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    sys.stdout.write(f"{len(found)} runs: {summary}\n")
    return ExitCode.OK


def chosen_study(options: argparse.Namespace) -> Study:
    """Return the study with the changes and the selection of the options."""
    if options.study.is_dir():
        raise UsageError(
            f"{options.study} is a folder, not the file of a study",
            hint=f"name the file, and the folder with -o; `lad-mpi show {options.study}` lists the "
            "logs of a folder",
        )
    study = load_study(options.study, options.overrides)
    return select_runs(study, options.only, options.where, options.share)


def study_folder(options: argparse.Namespace, study: Study) -> Path:
    """Return the folder of a study's logs."""
    return options.output if options.output is not None else Path("results") / study.name


def _report(result: StudyResult, folder: Path, *, quiet: bool) -> None:
    for run, outcome in result.failed:
        sys.stderr.write(f"{run.title} (seed {run.spec.seed}): {outcome.failure}\n")
    if not quiet:
        sys.stdout.write(
            f"{result.completed} completed, {result.skipped} complete before, "
            f"{len(result.failed)} not completed; logs in {folder}\n"
        )
    if result.interrupted:
        sys.stderr.write("interrupted; repeat the command to run what is missing\n")
