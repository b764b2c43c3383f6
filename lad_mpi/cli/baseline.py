"""``lad-mpi baseline``."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from lad_mpi.cli.tables import print_json, print_table
from lad_mpi.cli.world import whole_world
from lad_mpi.errors import ExitCode, UsageError
from lad_mpi.measure.baseline import measure_baseline
from lad_mpi.measure.kernels import FULL, QUICK
from lad_mpi.records import compare_baselines, read_baseline, write_baseline
from lad_mpi.records.baseline import to_plain
from lad_mpi.transport import from_server

if TYPE_CHECKING:
    import argparse

    from lad_mpi.records import Baseline, Drift, Quantity
    from lad_mpi.transport import Link


def baseline(options: argparse.Namespace) -> ExitCode:
    """Measure a baseline on all ranks, write it, and show it."""
    with whole_world(verbose=options.verbose) as (link, _):
        path = Path(from_server(link, lambda: str(_prepare(options, link))))
        effort = QUICK if options.quick else FULL
        found = measure_baseline(link, path.parent, effort, quick=options.quick)
        drifts: list[Drift] = []

        def finish() -> str:
            if found is None:
                raise RuntimeError("only the server finishes")
            write_baseline(path, found)
            if options.against is not None:
                earlier = read_baseline(options.against)
                drifts.extend(compare_baselines(earlier, found, threshold=options.drift))
            return str(int(ExitCode.REGRESSION if drifts else ExitCode.OK))

        exit_code = ExitCode(int(from_server(link, finish)))
    if found is not None:
        _show(found, drifts, path, options)
    return exit_code


def _prepare(options: argparse.Namespace, link: Link) -> Path:
    output: Path = options.output
    if options.against is not None:
        read_baseline(options.against)
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    is_file = output.suffix == ".json"
    path = output if is_file else output / f"baseline-{link.size}-ranks-{now}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot create the folder {path.parent}: {error.strerror}",
            hint="choose a writable file or folder with -o",
        ) from error
    return path


def _show(found: Baseline, drifts: list[Drift], path: Path, options: argparse.Namespace) -> None:
    if options.json:
        document = {**to_plain(found), "path": str(path), "drifts": list(map(str, drifts))}
        print_json(document)
        return
    print_table(
        [_row(quantity) for quantity in found.quantities],
        columns={
            "name": "quantity",
            "size": "size",
            "where": "where",
            "median": "median",
            "spread": "quartiles",
            "count": "n",
        },
        right=("size", "median", "spread", "count"),
    )
    sys.stdout.write(
        f"{found.ranks} ranks, {found.machine['cpu_model']}, {found.duration_s:.1f} s; "
        f"all samples in {path}\n"
    )
    if found.oversubscribed:
        sys.stdout.write(
            "oversubscribed: more threads than processors; no bounds are derived from it\n"
        )
    for drift in drifts:
        sys.stdout.write(f"drift: {drift}\n")
    if options.against is not None and not drifts:
        sys.stdout.write(f"no drift beyond {options.drift:.0%} since {options.against}\n")


def _row(quantity: Quantity) -> dict[str, str]:
    low, high = quantity.quartiles
    return {
        "name": quantity.name,
        "size": _bytes(quantity.size_bytes),
        "where": quantity.where or "all ranks",
        "median": _written(quantity.median, quantity.unit),
        "spread": f"{_scaled(low, quantity.unit)} – {_scaled(high, quantity.unit)}",
        "count": str(len(quantity.samples)),
    }


def _written(value: float, unit: str) -> str:
    return _scaled(value, unit) + (" µs" if unit == "s" else f" G{unit}")


def _scaled(value: float, unit: str) -> str:
    return f"{(1e6 if unit == 's' else 1e-9) * value:.4g}"


def _bytes(size: int) -> str:
    for power, name in ((2**20, "MiB"), (2**10, "KiB")):
        if size >= power:
            return f"{size / power:.4g} {name}"
    return f"{size} B"
