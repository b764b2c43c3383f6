"""Scaling studies with known numbers."""

import dataclasses

import pytest

from lad_mpi.records import (
    Baseline,
    Quantity,
    ScalingCase,
    ScalingLaunch,
    ScalingRecord,
    write_baseline,
    write_scaling,
)

#: A machine of 1 GB/s, 1 Gflop/s and 10 ms for any message.
BASELINE = [
    Quantity("copy_each", "B/s", (1e9,), 8),
    Quantity("copy_alone", "B/s", (1e9,), 8),
    Quantity("gemm_each", "flop/s", (1e9,), 8),
    Quantity("gemm_alone", "flop/s", (1e9,), 8),
    Quantity("gemv_each", "flop/s", (1e9,), 8),
    Quantity("gemv_alone", "flop/s", (1e9,), 8),
    Quantity("bcast", "s", (1e-2,), 10**9),
    Quantity("gather", "s", (1e-2,), 10**9),
]


@pytest.fixture
def write_study(tmp_path, write_run):
    """Write a study of launches whose times are those of the log fixture.

    ``after`` tells by ranks by which factor quantities have changed.
    """

    def write(
        ranks=(2, 3, 5), *, kind="strong", over=None, launches=2, void=(), study_void=(),
        baseline=True, crowded=False, planned=None, after=None, extra=(), drift=0.15,
        **changes,
    ):  # fmt: skip
        folder = tmp_path / "study"
        points = [{"coding.load": load} for load in over] if over else [{}]
        cases, done = [], []
        for point in points:
            for size in ranks:
                suffix = "".join(f"-load={load}" for load in point.values())
                name = f"p{size}{suffix}"
                cases.append(ScalingCase(name, size, point, 1.0, "s.toml", "hash", "r.h5"))
                for number in range(1, launches + 1):
                    log = f"{name}-{number}.h5"
                    reason = "its loss differs" if log in void else ""
                    done.append(ScalingLaunch(name, number, len(done) + 1, log, ["x"], 1.0, reason))
                    more = {"coding": {"load": point["coding.load"]}} if point else {}
                    write_run(log, ranks=size, name=f"n{suffix}", **{**changes, **more})
        files = {}
        for size in ranks if baseline else ():
            files[str(size)] = {"before": f"b{size}.json", "after": f"a{size}.json"}
            machine = {"hosts": [], "cpu_model": ""}
            found = Baseline("now", True, size, crowded, machine, (*BASELINE, *extra))
            write_baseline(folder / f"b{size}.json", found)
            factors = (after or {}).get(size, {})
            later = tuple(
                dataclasses.replace(q, samples=tuple(x * factors.get(q.name, 1) for x in q.samples))
                for q in found.quantities
            )
            write_baseline(folder / f"a{size}.json", dataclasses.replace(found, quantities=later))
        axes = {"coding.load": list(over)} if over else {}
        record = ScalingRecord(
            kind, "n", "nothing grows", cases[0].name, list(ranks), axes, planned or launches, 1,
            None, ["mpiexec"], cases, done, files, list(study_void), drift,
        )  # fmt: skip
        write_scaling(folder, record)
        return folder

    return write
