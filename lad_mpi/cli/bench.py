"""``lad-mpi bench``: aggregation rules, codecs, collectives, and an iteration."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.arguments import whole_number, whole_numbers
from lad_mpi.cli.tables import print_json, print_table
from lad_mpi.cli.world import whole_world
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.transport import Layout, from_server, together

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from lad_mpi.measure.bench_codecs import CodecBench
    from lad_mpi.measure.bench_collectives import CollectiveBench
    from lad_mpi.measure.bench_iteration import IterationBench
    from lad_mpi.measure.bench_rules import RuleBench
    from lad_mpi.measure.bounds import Bound
    from lad_mpi.measure.timing import Timing
    from lad_mpi.spec import Spec

#: The collectives that are compared: a name, the time of the suite, and that of plain MPI.
_PAIRS = (
    ("bcast", "suite_bcast", "bare_bcast"),
    ("gather, by Gatherv", "suite_gather", "bare_gatherv"),
    ("gather, by Gather", "suite_gather", "bare_gather"),
)
_MS, _US = 1e3, 1e6
_MILLISECONDS_FROM_S = 10e-3

# A bench is imported when it runs: the ranks of one need not import the others.


def rules(options: argparse.Namespace) -> ExitCode:
    """Time rules and pre-aggregations beside the bounds of this machine."""
    from lad_mpi.measure.bench_rules import bench_rules  # noqa: PLC0415

    try:
        found = bench_rules(
            options.n,
            options.f,
            options.dimension,
            dtype=options.dtype,
            repeats=options.repeats,
            kinds=options.rules.split(",") if options.rules else None,
        )
    except ParameterError as error:
        raise UsageError(str(error), hint=error.hint) from error
    if options.json:
        print_json(_rules_record(found))
        return ExitCode.OK
    threads = os.environ.get("OMP_NUM_THREADS") or "unset"
    sys.stdout.write(
        f"n = {found.num_messages}, f = {found.num_byzantine}, Q = {found.dimension}, "
        f"{found.dtype}, OMP_NUM_THREADS = {threads}\n"
        f"one read of the matrix {_MS * found.read.median_s:.3g} ms, "
        f"one Gram product {_MS * found.gram.median_s:.3g} ms; "
        f"medians of {len(found.read.times_s)}\n\n"
    )
    print_table(
        [_rule_row(kind, timing, found) for kind, timing in found.components.items()],
        columns={
            "kind": "rule",
            "median": "median (ms)",
            "spread": "max − min (ms)",
            "reads": "× read",
            "grams": "× Gram",
        },
        right=("median", "spread", "reads", "grams"),
    )
    for kind, timing in found.components.items():
        if timing.refusal:
            sys.stdout.write(f"{kind}: {timing.refusal}\n")
    return ExitCode.OK


def codecs(options: argparse.Namespace) -> ExitCode:
    """Time codecs beside a copy of the vectors."""
    from lad_mpi.measure.bench_codecs import bench_codecs  # noqa: PLC0415

    try:
        found = bench_codecs(
            options.devices,
            options.dimension,
            dtype=options.dtype,
            backend=options.backend,
            repeats=options.repeats,
            kinds=options.codecs.split(",") if options.codecs else None,
        )
    except ParameterError as error:
        raise UsageError(str(error), hint=error.hint) from error
    if options.json:
        print_json(_codecs_record(found))
        return ExitCode.OK
    where, crossing = "one thread", ""
    if found.crossing is not None:
        where = found.device_name
        crossing = f", to pinned memory of the host {found.speed(found.crossing):.3g} GB/s"
    sys.stdout.write(
        f"{found.num_devices} vectors of Q = {found.dimension}, {found.dtype}, on {where}, "
        f"with header and checksum;\n"
        f"GB of vectors a second, medians of {len(found.copy.times_s)}; "
        f"a copy of the vectors {found.speed(found.copy):.3g} GB/s{crossing}\n\n"
    )
    print_table(
        [
            {
                "kind": name,
                "payload": f"{8 * timing.payload_bytes / found.dimension:.3g}",
                "encode": f"{found.speed(timing.encode):.3g}",
                "decode": f"{found.speed(timing.decode):.3g}",
            }
            for name, timing in found.codecs.items()
        ],
        columns={
            "kind": "codec",
            "payload": "bits a coordinate",
            "encode": "encode (GB/s)",
            "decode": "decode (GB/s)",
        },
        right=("payload", "encode", "decode"),
    )
    return ExitCode.OK


def collectives(options: argparse.Namespace) -> ExitCode:
    """Time the suite's collectives beside plain MPI calls, on all ranks."""
    from lad_mpi.measure.bench_collectives import bench_collectives  # noqa: PLC0415

    dimensions = whole_numbers("--dimensions", options.dimensions, "100,1e6")
    if min(options.n, options.repeats, options.servers) < 1:
        raise UsageError(
            f"--n {options.n}, --repeats {options.repeats} and --servers {options.servers}: each "
            "must be at least 1"
        )
    with whole_world(verbose=options.verbose) as (link, _):
        layout = together(link, lambda: Layout(options.n, link.size, options.servers))
        found = bench_collectives(link, layout, dimensions, options.repeats)
        if link.is_server:
            _show_collectives(found, link.size, options)
    return ExitCode.OK


def iteration(options: argparse.Namespace) -> ExitCode:
    """Show the phases of an iteration beside their bounds, on all ranks."""
    from lad_mpi.measure.bench_iteration import bench_iteration  # noqa: PLC0415
    from lad_mpi.spec import parse_toml_spec, to_toml  # noqa: PLC0415

    with whole_world(verbose=options.verbose) as (link, interrupt):
        text = from_server(link, lambda: to_toml(_spec(options)))
        found = bench_iteration(parse_toml_spec(text), link, interrupt)
        if found is not None:
            _show_iteration(found, options)
    return ExitCode.OK


def _spec(options: argparse.Namespace) -> Spec:
    from lad_mpi.spec import (  # noqa: PLC0415
        apply_override,
        load_spec,
        parse_spec,
    )

    overrides = [*_shorthands(options), *options.overrides]
    if options.spec is not None:
        return load_spec(options.spec, overrides)
    mapping: dict[str, Any] = {}
    for override in overrides:
        apply_override(mapping, override)
    return parse_spec(mapping)


def _shorthands(options: argparse.Namespace) -> Iterator[str]:
    """Yield the options of ``bench iteration`` as changes of its spec."""
    if options.dimension is not None:
        dimension = whole_number("--dimension", options.dimension, "1e6")
        yield f"data.dimension={dimension}"
        if options.spec is None:
            # The largest eigenvalue grows with Q, and longer steps than its inverse diverge.
            yield f"optimizer.step_size={1e-3 / dimension}"
    if options.load is not None:
        yield f"coding.load={whole_number('--load', options.load, '10')}"
    if options.dimension is None and options.iterations is None:
        return
    iterations = whole_number("--iterations", options.iterations or "40", "100")
    yield f"iterations={iterations}"
    yield f"logging.evaluate_every={iterations}"
    # The wall clock is read at each flush.
    yield f"logging.flush_every={max(1, iterations // 8)}"
    yield f"logging.warmup_iterations={iterations // 8}"


def _show_collectives(
    found: Sequence[CollectiveBench], ranks: int, options: argparse.Namespace
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
        print_json(
            {
                "ranks": ranks,
                "servers": options.servers,
                "num_devices": options.n,
                "rows": rows,
                "samples_s": samples,
            }
        )
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
    print_table(shown, columns=columns, right=("dimension", "bytes", "suite", "bare", "ratio"))
    sys.stdout.write(
        f"{ranks} ranks, {options.servers} of them servers, N = {options.n}; largest over ranks, "
        f"medians of {options.repeats} rounds\n"
    )


def _show_iteration(found: IterationBench, options: argparse.Namespace) -> None:
    from lad_mpi.measure.bounds import Bound  # noqa: PLC0415
    from lad_mpi.training import TRAINING_PHASES  # noqa: PLC0415

    if options.json:
        print_json(
            {
                **dataclasses.asdict(found),
                "bounds": {name: bound._asdict() for name, bound in found.bounds.items()},
                "training_s": found.training_s,
                "bound_s": found.bound_s,
                "overhead_s": found.overhead_s,
            }
        )
        return
    scale, unit = (_MS, "ms") if found.wall_s > _MILLISECONDS_FROM_S else (_US, "µs")

    def row(name: str, time_s: float, bound: Bound | None) -> dict[str, str]:
        known = bound is not None and bound.seconds > 0
        return {
            "phase": name,
            "time": f"{scale * time_s:.4g}",
            "bound": f"{scale * bound.seconds:.4g}" if bound and known else "",
            "ratio": f"{time_s / bound.seconds:.2f}" if bound and known else "",
            "basis": bound.basis if bound else "",
        }

    bounds = found.bounds
    rest = [name for name in found.phases_s if name not in TRAINING_PHASES]
    rows = [row(name, found.phases_s[name], bounds.get(name)) for name in TRAINING_PHASES]
    rows.append(row("training", found.training_s, Bound(found.bound_s, "the sum of the above")))
    rows += [row(name, found.phases_s[name], None) for name in rest]
    columns = {
        "phase": "phase",
        "time": unit,
        "bound": "bound",
        "ratio": "× bound",
        "basis": "the bound is",
    }
    print_table(rows, columns=columns, right=("time", "bound", "ratio"))
    ranks = "1 rank" if found.ranks == 1 else f"{found.ranks} ranks"
    sys.stdout.write(
        f"{ranks}, medians of {found.iterations} iterations; wall clock "
        f"{scale * found.wall_s:.4g} {unit} an iteration\n"
        f"overhead (all but compute, collectives, aggregation, evaluation) "
        f"{scale * found.overhead_s:.4g} {unit}\n"
    )


def _codecs_record(found: CodecBench) -> dict[str, Any]:
    """Return a bench of codecs as plain values: times in seconds, speeds in GB/s."""

    def shown(timing: Timing) -> dict[str, Any]:
        return {**_timing_record(timing), "gb_per_s": found.speed(timing)}

    return {
        "num_devices": found.num_devices,
        "dimension": found.dimension,
        "dtype": found.dtype,
        "load_average": os.getloadavg()[0],
        "device_name": found.device_name,
        "copy": shown(found.copy),
        "crossing": None if found.crossing is None else shown(found.crossing),
        "codecs": {
            name: {
                "payload_bytes": timing.payload_bytes,
                "encode": shown(timing.encode),
                "decode": shown(timing.decode),
            }
            for name, timing in found.codecs.items()
        },
    }


def _rules_record(found: RuleBench) -> dict[str, Any]:
    """Return a bench of rules as plain values, times in seconds."""
    return {
        "num_messages": found.num_messages,
        "num_byzantine": found.num_byzantine,
        "dimension": found.dimension,
        "dtype": found.dtype,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": os.getloadavg()[0],
        "read": _timing_record(found.read),
        "gram": _timing_record(found.gram),
        "components": {
            kind: {
                **_timing_record(timing),
                "over_read": _finite(timing.median_s / found.read.median_s),
                "over_gram": _finite(timing.median_s / found.gram.median_s),
            }
            for kind, timing in found.components.items()
        },
    }


def _timing_record(timing: Timing) -> dict[str, Any]:
    return {
        "median_s": _finite(timing.median_s),
        "spread_s": _finite(timing.spread_s),
        "times_s": list(timing.times_s),
        "refusal": timing.refusal or None,
    }


def _rule_row(kind: str, timing: Timing, found: RuleBench) -> dict[str, str]:
    if not timing.times_s:
        return {"kind": kind, "median": "refused", "spread": "–", "reads": "–", "grams": "–"}
    return {
        "kind": kind,
        "median": f"{_MS * timing.median_s:.4g}",
        "spread": f"{_MS * timing.spread_s:.2g}",
        "reads": f"{timing.median_s / found.read.median_s:.2f}",
        "grams": f"{timing.median_s / found.gram.median_s:.2f}",
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
