"""Create a small valid study with all kinds of files, written by the suite itself."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import random
import uuid
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import tomli_w

from lad_mpi.cli.main import main
from lad_mpi.measure.scale import ScaleOptions, plan_scaling, run_scaling
from lad_mpi.records import Baseline, Quantity, write_baseline, write_scaling
from lad_mpi.slurm.record import Submission, write_submissions
from lad_mpi.spec import load_spec, parse_spec
from lad_mpi.study import load_study
from lad_mpi.training import run_spec
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback

#: A fake launcher: launches of a resumed scaling study fail at once.
LAUNCHER = "fuzz-launcher"
RANKS, LOADS, LAUNCHES = [1], [1, 2, 3, 6], 2

TINY = {
    "name": "tiny",
    "iterations": 6,
    "data": {"kind": "synthetic", "dimension": 4},
    "devices": {"count": 6, "byzantine": 1},
    "coding": {"kind": "cyclic", "load": 2},
    "logging": {"flush_every": 2, "evaluate_every": 2, "warmup_iterations": 1},
    "safety": {"checkpoint_every": 2},
}
SIGN = {**TINY, "name": "sign", "compression": {"kind": "sign", "error_feedback": True}}
CLIPPING = {
    **TINY,
    "name": "clipping d=2",
    "aggregation": {"kind": "centered_clipping"},
    "attack": {"kind": "mutate"},
    "backend": {"dtype": "float32"},
}
STUDY = {
    "name": "small",
    "description": "three runs",
    "base": {key: value for key, value in TINY.items() if key != "name"},
    "axes": {"seed": [1, 2, 3]},
    "cases": [{"name": "d={coding.load}", "axes": {"coding.load": [2]}}],
}
CLUSTER = {
    "launcher": "srun",
    "nodes": 1,
    "ranks_per_node": 2,
    "time": "00:10:00",
    "partition": "short",
    "account": "mine",
    "modules": ["mpich"],
    "setup": ["umask 077"],
    "environment": {"A": "b"},
}


class _Stopper:
    """Asks a run to stop after some iterations."""

    def __init__(self, interrupt: InterruptRequest, after: int) -> None:
        self._interrupt, self._after = interrupt, after

    def note(self, text: str) -> None:
        pass

    def update(self, iteration: int, iterations: int, loss: float) -> None:
        if iteration >= self._after:
            self._interrupt.signal_name = "SIGTERM"


class _InPlace:
    """Runs launches in this process with one rank, whatever number is requested."""

    words = (LAUNCHER,)

    def command(self, ranks, arguments):
        return [*self.words, "-n", str(ranks), "python", "-m", "lad_mpi", *arguments]

    def run(self, ranks, arguments, folder, *, timeout_s, stopping):
        with _inside(folder):
            return "" if main(arguments) == 0 else "it failed"


class _Silent:
    def begin(self, what, position, total):
        pass

    def end(self, launch):
        pass


def make_corpus(folder: Path) -> None:
    """Create all files, identical each time on a machine, so that cases are reproducible."""
    chance = random.Random(0)
    numbers = lambda: uuid.UUID(int=chance.getrandbits(128))  # noqa: E731
    fixed = mock.patch.object(uuid, "uuid4", side_effect=numbers)
    with fixed, contextlib.redirect_stdout(io.StringIO()):
        _make_logs(folder / "logs")
        _make_resume(folder / "resume")
        _make_study(folder / "study")
        _make_scaling(folder / "scaling")
        _make_data(folder / "data")
        for log in sorted(folder.rglob("*.h5")):
            if log.parent.name != "data":
                _still(log)


def _make_logs(folder: Path) -> None:
    _complete(SIGN, folder / "one.h5")
    _interrupted(CLIPPING, folder / "two.h5")
    _complete(CLIPPING, folder / "two.h5")
    _interrupted(TINY, folder / "half.h5")
    for checkpoint in folder.glob("*.npz"):
        checkpoint.unlink()


def _make_resume(folder: Path) -> None:
    _interrupted(SIGN, folder / "run.h5")
    (folder / "spec.toml").write_text(tomli_w.dumps(SIGN))


def _make_study(folder: Path) -> None:
    folder.mkdir()
    path, out = folder / "study.toml", folder / "out"
    path.write_text(tomli_w.dumps(STUDY))
    (folder / "cluster.toml").write_text(tomli_w.dumps(CLUSTER))
    done, half, missing = load_study(path).runs
    run_spec(done.spec, Loopback(), done.locate(out), names=done.names)
    _interrupt(half.spec, half.locate(out))
    tasks = {half.run_id: 0, missing.run_id: 1}
    (out / "jobs").mkdir()
    for job, task in (("4711", 0), ("4712", 1)):
        (out / "jobs" / f"lad-small_{job}_{task}.out").write_text("slurmstepd: error: killed\n")
    write_submissions(
        out,
        [
            Submission("4710", "example", "lad-small", "jobs/lad-small-1.sbatch", 1e9, tasks),
            Submission("4711", "example", "lad-small", "jobs/lad-small-2.sbatch", 2e9, tasks),
        ],
    )


def _make_scaling(folder: Path) -> None:
    spec = parse_spec(TINY)
    plan = plan_scaling("strong", spec, RANKS, over={"coding.load": LOADS})
    options = ScaleOptions(launches=LAUNCHES, baseline="none")
    folder.mkdir()
    record = run_scaling(plan, _InPlace(), folder, options, _Silent())
    (folder / "spec.toml").write_text(tomli_w.dumps(TINY))
    baseline = Baseline(
        "2026-01-01T00:00:00+00:00", True, 1, False, {"hosts": ["a"], "cpu_model": "b"},
        tuple(
            Quantity(name, unit, (1e9, 2e9, 3e9), size)
            for name, unit in (("copy_each", "B/s"), ("gemm_each", "flop/s"), ("bcast", "s"))
            for size in (8, 10**6)
        ),
        1.0,
    )  # fmt: skip
    for when in ("before", "after"):
        write_baseline(folder / f"baselines/{when}-p1.json", baseline)
    files = {"1": {when: f"baselines/{when}-p1.json" for when in ("before", "after")}}
    write_scaling(folder, dataclasses.replace(record, baselines=files))


def _make_data(folder: Path) -> None:
    folder.mkdir()
    numbers = np.random.default_rng(0)
    X, y = numbers.random((12, 3)), numbers.random(12)
    np.savez(folder / "data.npz", X=X, y=y)
    with h5py.File(folder / "data.h5", "w") as file:
        file["X"], file["y"] = X, y
    rows = [[*map(float, row), float(target)] for row, target in zip(X, y, strict=True)]
    (folder / "data.csv").write_text(
        "a,b,c,y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    (folder / "data.svm").write_text(
        "".join(f"{row[3]} 1:{row[0]} 2:{row[1]} 3:{row[2]}\n" for row in rows)
    )
    for name in ("npz", "h5", "csv", "svm"):
        data = {"kind": "file", "path": f"data.{name}"}
        tiny = {**TINY, "iterations": 2, "data": data}
        (folder / f"spec-{name}.toml").write_text(tomli_w.dumps(tiny))


def _complete(mapping: dict, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    spec = path.with_suffix(".toml")
    spec.write_text(tomli_w.dumps(mapping))
    code = main(["run", str(spec), "-o", str(path), "--resume", "-q", "--progress", "none"])
    if code != 0:
        raise RuntimeError(f"the run of {spec} ended with {code}")
    spec.unlink()


def _interrupted(mapping: dict, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    spec = path.with_suffix(".toml")
    spec.write_text(tomli_w.dumps(mapping))
    _interrupt(load_spec(spec), path)
    spec.unlink()


def _interrupt(spec, path: Path) -> None:
    with InterruptRequest() as interrupt:
        progress = _Stopper(interrupt, 4)
        outcome = run_spec(spec, Loopback(), path, progress=progress, interrupt=interrupt)
    if outcome.status != "interrupted":
        raise RuntimeError(f"the run for {path} ended as {outcome}")


def _still(path: Path) -> None:
    """Replace values that would differ each time the corpus is created."""
    with h5py.File(path, "r+") as file:
        seconds = file["timing/seconds"]
        values = np.random.default_rng(0).random(seconds.shape)
        seconds[...] = np.where(np.isnan(seconds[()]), np.nan, values)
        file.attrs["created"] = "2026-01-01T00:00:00+00:00"
        places: list[h5py.Group] = [file["provenance"], *file["provenance"].values()]
        for group in places:
            group.attrs["processes"] = np.array(["1"], dtype=h5py.string_dtype())


@contextlib.contextmanager
def _inside(folder: Path):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
