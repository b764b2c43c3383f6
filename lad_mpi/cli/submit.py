"""``lad-mpi study submit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lad_mpi.cli.arguments import refuse_ranks
from lad_mpi.cli.study import chosen_study, study_folder
from lad_mpi.cli.tables import print_json
from lad_mpi.errors import ExitCode
from lad_mpi.slurm import (
    ask_queue,
    join_queue,
    known_jobs,
    load_cluster,
    needs_submission,
    prepare_job,
    read_submissions,
    submit_job,
    submitting,
)
from lad_mpi.study import study_status

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from lad_mpi.slurm import JobLayout, Prepared
    from lad_mpi.study import Run, Study


def submit(options: argparse.Namespace) -> ExitCode:
    """Submit the missing runs of a study."""
    refuse_ranks("jobs are submitted by one process")
    study = chosen_study(options)
    folder = study_folder(options, study)
    file = load_cluster(options.cluster, options.cluster_overrides)
    layout: JobLayout = "array" if options.array else "packed"

    def ready(runs: list[Run]) -> Prepared:
        return prepare_job(study, runs, file, layout, path=options.study, folder=folder)

    if options.dry_run:
        runs = _missing(study, folder)
        if options.json:
            _report_json(ready(runs) if runs else None, None)
        elif runs:
            sys.stdout.write(ready(runs).script)
            sys.stderr.write(f"{len(runs)} of {len(study.runs)} runs; nothing is submitted\n")
        else:
            _say_nothing_missing(study)
        return ExitCode.OK
    with submitting(folder):
        runs = _missing(study, folder)
        prepared = ready(runs) if runs else None
        submission = None if prepared is None else submit_job(prepared, folder)
    if options.json:
        _report_json(prepared, None if submission is None else submission.job_id)
    elif prepared is None or submission is None:
        _say_nothing_missing(study)
    else:
        tasks = f", {prepared.job.num_tasks} tasks" if prepared.job.num_tasks else ""
        sys.stdout.write(
            f"submitted job {submission.job_id}{tasks}: {len(runs)} of {len(study.runs)} runs\n"
            f"script: {folder / submission.script}\n"
        )
    return ExitCode.OK


def _missing(study: Study, folder: Path) -> list[Run]:
    states = study_status(study, folder)
    submissions = read_submissions(folder)
    queue = ask_queue(known_jobs(states, submissions))
    joined = join_queue(states, submissions, queue, folder)
    return [status.state.run for status in joined if needs_submission(status)]


def _say_nothing_missing(study: Study) -> None:
    sys.stdout.write(
        f"nothing to submit: all {len(study.runs)} runs are complete or in the queue\n"
    )


def _report_json(prepared: Prepared | None, job_id: str | None) -> None:
    report = {
        "job": job_id,
        "tasks": {} if prepared is None else prepared.tasks,
        "script": "" if prepared is None else prepared.script,
    }
    print_json(report)
