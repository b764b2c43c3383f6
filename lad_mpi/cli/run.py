"""``lad-mpi run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.cli.progress import open_progress
from lad_mpi.cli.world import inspect_place, whole_world
from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.spec import identify, load_spec, parse_toml_spec, to_toml
from lad_mpi.training import Existing, run_spec
from lad_mpi.transport import from_server, together

if TYPE_CHECKING:
    import argparse

    from lad_mpi.spec import Spec


def run(options: argparse.Namespace) -> ExitCode:
    """Run one spec on all ranks."""
    with whole_world(verbose=options.verbose) as (link, interrupt):
        text = from_server(link, lambda: to_toml(_load(options)))
        if options.dry_run:
            if link.is_server:
                sys.stdout.write(text)
            return ExitCode.OK
        # A package that provides a component may be missing on some hosts.
        spec = together(link, lambda: parse_toml_spec(text))
        output = Path(from_server(link, lambda: str(log_path(options.output, spec))))
        remarks = inspect_place(link, output.parent, spec, force=options.force)
        with open_progress(options, link) as progress:
            progress.begin_run(spec.name, spec.seed, spec.iterations)
            outcome = run_spec(
                spec,
                link,
                output,
                progress=progress,
                existing=_existing(options),
                remarks=remarks,
                interrupt=interrupt,
            )
            if not outcome.failure:
                progress.end_run(outcome)
        if link.is_server:
            if outcome.exit_code == ExitCode.CHECKPOINTED:
                sys.stderr.write(
                    f"lad-mpi: {outcome.failure}; the same command with --resume goes on\n"
                )
            elif outcome.failure:
                sys.stderr.write(f"lad-mpi: error: {outcome.failure}\n")
            elif not options.quiet:
                sys.stdout.write(f"{output}\n")
        return outcome.exit_code


def _load(options: argparse.Namespace) -> Spec:
    spec = load_spec(options.spec, options.overrides)
    return spec if options.host_details else spec.without_host_details()


def _existing(options: argparse.Namespace) -> Existing:
    if options.resume:
        return Existing.RESUME
    return Existing.REPLACE if options.overwrite else Existing.REFUSE


def log_path(output: Path, spec: Spec) -> Path:
    """Return the log file: the output itself if it is a file, else a file in that folder."""
    if output.suffix == ".h5":
        return output
    if output.suffix and not output.is_dir():
        raise UsageError(
            f"{output}: a log's name ends in .h5, and there is no folder of this name",
            hint=f"-o {output.with_suffix('.h5')}",
        )
    return output / f"run-{identify(spec).run_id}.h5"
