"""``lad-mpi bench``: rules, and codecs."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from lad_mpi.cli.tables import print_table
from lad_mpi.errors import ExitCode, ParameterError, UsageError
from lad_mpi.measure.bench_codecs import CodecBench, bench_codecs
from lad_mpi.measure.bench_rules import RuleBench, bench_rules

if TYPE_CHECKING:
    import argparse

    from lad_mpi.measure.timing import Timing


def bench(options: argparse.Namespace) -> ExitCode:
    """Time rules and pre-aggregations beside the bounds of this machine."""
    kinds = options.rules.split(",") if options.rules else None
    try:
        found = bench_rules(
            options.n,
            options.f,
            options.dimension,
            dtype=options.dtype,
            repeats=options.repeats,
            kinds=kinds,
        )
    except ParameterError as error:
        raise UsageError(str(error), hint=error.hint) from error
    record = to_record(found)
    if options.json:
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
        return ExitCode.OK
    sys.stdout.write(
        f"n = {found.num_messages}, f = {found.num_byzantine}, Q = {found.dimension}, "
        f"{found.dtype}, OMP_NUM_THREADS = {record['omp_num_threads'] or 'unset'}\n"
        f"one read of the matrix {1e3 * found.read.median_s:.3g} ms, "
        f"one Gram product {1e3 * found.gram.median_s:.3g} ms; "
        f"medians of {len(found.read.times_s)}\n\n"
    )
    print_table(
        [_shown(kind, timing, found) for kind, timing in found.components.items()],
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
    kinds = options.codecs.split(",") if options.codecs else None
    try:
        found = bench_codecs(
            options.devices,
            options.dimension,
            dtype=options.dtype,
            backend=options.backend,
            repeats=options.repeats,
            kinds=kinds,
        )
    except ParameterError as error:
        raise UsageError(str(error), hint=error.hint) from error
    if options.json:
        sys.stdout.write(json.dumps(to_codec_record(found), indent=2) + "\n")
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


def to_codec_record(found: CodecBench) -> dict[str, Any]:
    """Return a bench of codecs as plain values for JSON, times in seconds, speeds in GB/s."""

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


def to_record(found: RuleBench) -> dict[str, Any]:
    """Return a bench as plain values for JSON, times in seconds."""
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
                "over_read": _number(timing.median_s / found.read.median_s),
                "over_gram": _number(timing.median_s / found.gram.median_s),
            }
            for kind, timing in found.components.items()
        },
    }


def _timing_record(timing: Timing) -> dict[str, Any]:
    return {
        "median_s": _number(timing.median_s),
        "spread_s": _number(timing.spread_s),
        "times_s": list(timing.times_s),
        "refusal": timing.refusal or None,
    }


def _shown(kind: str, timing: Timing, found: RuleBench) -> dict[str, str]:
    if not timing.times_s:
        return {"kind": kind, "median": "refused", "spread": "–", "reads": "–", "grams": "–"}
    return {
        "kind": kind,
        "median": f"{1e3 * timing.median_s:.4g}",
        "spread": f"{1e3 * timing.spread_s:.2g}",
        "reads": f"{timing.median_s / found.read.median_s:.2f}",
        "grams": f"{timing.median_s / found.gram.median_s:.2f}",
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
