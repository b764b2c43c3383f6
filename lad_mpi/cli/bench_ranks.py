"""``lad-mpi bench collectives`` and ``lad-mpi bench iteration``, on all ranks."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.world import on_server, whole_world
from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.measure.bench_collectives import bench_collectives
from lad_mpi.measure.bench_iteration import PAYLOAD, bench_iteration
from lad_mpi.spec import Spec, apply_override, load_spec, parse_spec, parse_toml_spec, to_toml

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lad_mpi.measure.bench_collectives import CollectiveTimes
    from lad_mpi.measure.bench_iteration import IterationCost

_PAIRS = (
    ("bcast", "suite_bcast", "bare_bcast"),
    ("gather, by Gatherv", "suite_gather", "bare_gatherv"),
    ("gather, by Gather", "suite_gather", "bare_gather"),
)
_US = 1e6


def collectives(options: argparse.Namespace) -> ExitCode:
    """Time the suite's collectives beside the bare ones."""
    dimensions = _sizes(options)
    with whole_world(verbose=options.verbose) as (link, _):
        if link.size == 1:
            raise UsageError(
                "one rank has nobody to send to", hint="mpirun -n 3 lad-mpi bench collectives"
            )
        found = bench_collectives(link, options.n, dimensions, options.repeats)
        if link.is_server:
            _show_collectives(found, link.size, options)
    return ExitCode.OK


def iteration(options: argparse.Namespace) -> ExitCode:
    """Show what an iteration costs beside its payload."""
    with whole_world(verbose=options.verbose) as (link, interrupt):
        text = on_server(link, lambda: to_toml(_spec(options)))
        found = bench_iteration(parse_toml_spec(text), link, interrupt)
        if found is not None:
            _show_iteration(found, options)
    return ExitCode.OK


def _sizes(options: argparse.Namespace) -> list[int]:
    try:
        sizes = [int(word) for word in options.dimensions.split(",")]
    except ValueError as error:
        raise UsageError(f"--dimensions {options.dimensions}: expected numbers") from error
    if min([*sizes, options.n, options.repeats]) < 1:
        raise UsageError("--dimensions, --n and --repeats: expected numbers from 1 on")
    return sizes


def _spec(options: argparse.Namespace) -> Spec:
    if options.spec is not None:
        return load_spec(options.spec, options.overrides)
    mapping: dict[str, Any] = {}
    for override in options.overrides:
        apply_override(mapping, override)
    return parse_spec(mapping)


def _show_collectives(
    found: Sequence[CollectiveTimes], ranks: int, options: argparse.Namespace
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "dimension": times.dimension,
            "collective": name,
            "bytes": times.downlink_bytes if name == "bcast" else times.uplink_bytes,
            "suite_s": times.times[suite].median_s,
            "bare_s": times.times[bare].median_s,
            "ratio": times.ratio(suite, bare),
        }
        for times in found
        for name, suite, bare in _PAIRS
    ]
    if options.json:
        samples = [
            {
                "dimension": times.dimension,
                **{name: list(timing.times_s) for name, timing in times.times.items()},
            }
            for times in found
        ]
        document = {"ranks": ranks, "num_devices": options.n, "rows": rows, "samples_s": samples}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    shown = [
        {
            **row,
            "suite": f"{_US * row['suite_s']:.4g}",
            "bare": f"{_US * row['bare_s']:.4g}",
            "ratio": f"{row['ratio']:.2f}",
        }
        for row in rows
    ]
    columns = {
        "dimension": "Q",
        "collective": "collective",
        "bytes": "bytes",
        "suite": "suite (µs)",
        "bare": "bare (µs)",
        "ratio": "ratio",
    }
    _print_table(shown, columns, right=("dimension", "bytes", "suite", "bare", "ratio"))
    sys.stdout.write(
        f"{ranks} ranks, N = {options.n}, greatest over ranks, medians of {options.repeats} "
        "rounds\n"
    )


def _show_iteration(found: IterationCost, options: argparse.Namespace) -> None:
    if options.json:
        document = {**dataclasses.asdict(found), "overhead_s": found.overhead_s}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    rows: list[dict[str, Any]] = [
        {
            "phase": name,
            "time": f"{_US * time_s:.1f}",
            "counts": "" if name in PAYLOAD else "overhead",
        }
        for name, time_s in found.phases_s.items()
    ]
    _print_table(rows, {"phase": "phase", "time": "µs", "counts": ""}, right=("time",))
    sys.stdout.write(
        f"{found.ranks} ranks, medians of {found.iterations} iterations; wall clock "
        f"{_US * found.wall_s:.1f} µs an iteration\n"
        f"overhead (all but compute, collectives, aggregation, evaluation) "
        f"{_US * found.overhead_s:.1f} µs\n"
    )


def _print_table(
    rows: Sequence[dict[str, Any]], columns: dict[str, str], right: Sequence[str]
) -> None:
    # Ranks that only measure print no table, and need not import rich.
    from lad_mpi.cli.tables import print_table  # noqa: PLC0415

    print_table(rows, columns=columns, right=right)
