"""Logs are read back bit for bit, and failures lose no flushed records."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from lad_mpi.errors import RunFailedError, UsageError
from lad_mpi.logs import (
    WARMUP_ITERATIONS,
    Axes,
    FinalState,
    read_log,
    schema,
    validate_log,
)
from lad_mpi.logs.reader import KILLED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("swmr", [True, False])
@pytest.mark.parametrize("sizes", [[5], [1, 4], [2, 0, 3], []])
def test_rows_are_read_back(tmp_path, open_writer, block, swmr, sizes):
    path = tmp_path / "new" / "folder" / "run.h5"
    empty = block(0, 0)
    blocks, first = [empty], 0
    with open_writer(path, swmr=swmr) as writer:
        for size in sizes:
            blocks.append(block(first, size))
            writer.append(blocks[-1])
            first += size
        writer.finish("interrupted")
    log = read_log(path)
    np.testing.assert_array_equal(log.iteration, np.arange(first))
    np.testing.assert_array_equal(log.seconds, np.concatenate([b.seconds for b in blocks]))
    for kind in ("metrics", "traffic"):
        written, read = [getattr(b, kind) for b in blocks], getattr(log, kind)
        assert read.keys() == getattr(empty, kind).keys()
        for name, values in read.items():
            np.testing.assert_array_equal(values, np.concatenate([b[name] for b in written]))


def test_the_header_and_the_state_are_read_back(complete_log, header, state):
    log = read_log(complete_log)
    assert (log.status, log.failure, log.name) == ("complete", "", "LAD d=2")
    assert (log.spec_toml, log.identity) == (header().spec_toml, "f00d")
    assert log.spec == {"name": "LAD d=2", "seed": 1, "iterations": 5}
    expected = {**header().provenance, "first_iteration": 0, "mpi_ranks": 3}
    assert log.provenance == expected
    assert {key: type(value) for key, value in log.provenance.items()} == {
        key: type(value) for key, value in expected.items()
    }
    assert (log.ranks, log.phases) == (3, ("broadcast", "compute", "evaluate"))
    assert (log.training_phases, log.warmup_iterations) == (
        ("broadcast", "compute"),
        WARMUP_ITERATIONS,
    )
    assert log.final is not None
    np.testing.assert_array_equal(log.final.model, state.model)
    assert (log.final.metrics["loss"], log.final.metrics["gradient_norm"]) == (0.1, 0.2)
    assert np.isnan(log.final.metrics["distance_to_optimum"])


def test_every_run_has_its_own_id(tmp_path, open_writer):
    for name in ("a.h5", "b.h5"):
        with open_writer(tmp_path / name) as writer:
            writer.finish("interrupted")
    assert read_log(tmp_path / "a.h5").uuid != read_log(tmp_path / "b.h5").uuid


def test_a_growing_log_can_be_read(tmp_path, open_writer, block):
    with open_writer(tmp_path / "run.h5") as writer:
        for first in range(3):
            writer.append(block(first, 1))
            log = read_log(tmp_path / "run.h5")
            assert (log.status, len(log.iteration), log.final) == ("running", first + 1, None)
            assert validate_log(tmp_path / "run.h5") == []
        writer.finish("interrupted", failure="time is up")
    log = read_log(tmp_path / "run.h5")
    assert (log.status, log.failure, len(log.iteration)) == ("interrupted", "time is up", 3)


def test_an_existing_log_is_kept_by_default(complete_log, open_writer):
    before = complete_log.read_bytes()
    with pytest.raises(UsageError, match=r"complete\.h5 already exists\n.*--overwrite"):
        open_writer(complete_log)
    assert complete_log.read_bytes() == before
    with open_writer(complete_log, overwrite=True) as writer:
        writer.finish("interrupted")
    assert read_log(complete_log).status == "interrupted"


def test_the_old_log_survives_a_new_one_that_cannot_be_created(
    complete_log, open_writer, header, monkeypatch
):
    before = complete_log.read_bytes()

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "flush", fail)
    with pytest.raises(UsageError, match="No space left"):
        open_writer(complete_log, overwrite=True)
    assert complete_log.read_bytes() == before
    assert list(complete_log.parent.iterdir()) == [complete_log]


def test_bad_provenance_leaves_nothing_behind(tmp_path, open_writer, header):
    bad = dataclasses.replace(header(), provenance={"hosts": None})
    with pytest.raises(TypeError, match="hosts must be"):
        open_writer(tmp_path / "run.h5", header=bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocked", ["file/run.h5", "folder"])
def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path, open_writer, blocked):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot create the log"):
        open_writer(tmp_path / blocked, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_a_folder_without_permission_is_a_usage_error(tmp_path, open_writer):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        open_writer(tmp_path / "run.h5")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (KeyboardInterrupt(), ("interrupted", "")),
        (
            RunFailedError("the decoder gave up", hint="raise the load"),
            ("failed", "the decoder gave up"),
        ),
        (ZeroDivisionError("division by zero"), ("failed", "division by zero")),
        (ZeroDivisionError(), ("failed", "ZeroDivisionError")),
        (OSError("a name with \0"), ("failed", "a name with \N{REPLACEMENT CHARACTER}")),
    ],
)
def test_an_exception_is_the_outcome(tmp_path, open_writer, block, error, outcome):
    def run():
        with open_writer(tmp_path / "run.h5") as writer:
            writer.append(block(0, 2))
            raise error

    with pytest.raises(type(error)):
        run()
    log = read_log(tmp_path / "run.h5")
    assert (log.status, log.failure) == outcome
    assert len(log.iteration) == 2
    assert validate_log(tmp_path / "run.h5") == []


def test_a_log_that_is_left_unfinished_has_failed(tmp_path, open_writer):
    with open_writer(tmp_path / "run.h5"):
        pass
    assert read_log(tmp_path / "run.h5").status == "failed"


def test_blocks_must_follow_each_other_and_fit(tmp_path, open_writer, block):
    with open_writer(tmp_path / "run.h5") as writer:
        writer.append(block(0, 2))
        with pytest.raises(ValueError, match="starts at iteration 3"):
            writer.append(block(3, 1))
        good = block(2, 1)
        with pytest.raises(ValueError, match=r"/timing/seconds must have shape \(1, 3, 3\)"):
            writer.append(dataclasses.replace(good, seconds=good.seconds[:, :, :2]))
        metrics = {name: good.metrics[name] for name in good.metrics if name != "loss"}
        with pytest.raises(ValueError, match="/metrics/loss"):
            writer.append(dataclasses.replace(good, metrics=metrics))
        writer.append(good)
        writer.finish("interrupted")
    assert len(read_log(tmp_path / "run.h5").iteration) == 3


def test_only_a_valid_outcome_is_accepted(tmp_path, open_writer, state):
    with open_writer(tmp_path / "run.h5") as writer:
        with pytest.raises(ValueError, match="status"):
            writer.finish("running")
        with pytest.raises(ValueError, match="final state"):
            writer.finish("complete")
        wrong = dataclasses.replace(state, model=state.model[:2])
        with pytest.raises(ValueError, match="final model"):
            writer.finish("complete", state=wrong)


def test_training_phases_are_phases():
    with pytest.raises(ValueError, match="training_phases"):
        Axes(1, ["a"], ["b"], 10)


def test_the_dtype_of_the_model_is_kept(tmp_path, header):
    from lad_mpi.logs import LogWriter

    model = np.array([1 / 3], dtype=np.float32)
    with LogWriter(
        tmp_path / "run.h5",
        header=header(0),
        axes=Axes(1, ["a"], ["a"], 10),
        dimension=1,
        dtype=model.dtype,
    ) as writer:
        writer.finish("complete", state=FinalState(model, {"loss": 1.0}))
    final = read_log(tmp_path / "run.h5").final
    assert final is not None
    assert final.model.dtype == np.float32
    assert final.model[0] == model[0]
    assert validate_log(tmp_path / "run.h5") == []


_WRITE_FOREVER = """
    import itertools, signal, sys
    from pathlib import Path
    import numpy as np
    from lad_mpi.errors import LadError
    from lad_mpi.logs import Axes, LogBlock, LogWriter, RunHeader, schema

    ROWS, RANKS, PHASES = 7, 8, ["compute", "gather"]
    writer = LogWriter(Path(sys.argv[1]),
        header=RunHeader(["x"], "seed = 1\\niterations = 10000000", "", "", ["lad_mpi 0.2.0"], {}),
        axes=Axes(RANKS, PHASES, PHASES, 10), dimension=1, dtype=np.dtype("float64"))
    for first in itertools.count(0, ROWS):
        t = np.arange(first, first + ROWS)
        block = LogBlock(first,
            {
                **{metric.name: t % 3.0 for metric in schema.STEP_METRICS},
                **{count.name: (t % 3).astype(np.int64) for count in schema.COUNTS},
            },
            np.outer(t % 3, np.arange(len(schema.REASONS)) == 1),
            np.broadcast_to(t[:, None, None] + 0.5, (ROWS, RANKS, len(PHASES))),
            {v.name: t for v in schema.TRAFFIC})
        try:
            writer.append(block)
        except LadError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        print(first + ROWS, flush=True)
"""


def _start(path: Path, prologue: str = "") -> subprocess.Popen[str]:
    script = prologue + textwrap.dedent(_WRITE_FOREVER)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("blocks", [1, 40, 150])
def test_a_killed_writer_leaves_a_readable_file(tmp_path, blocks):
    path = tmp_path / "run.h5"
    process = _start(path)
    assert process.stdout is not None
    for _ in range(blocks):
        flushed = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    log = read_log(path)
    assert (log.status, log.failure) == ("interrupted", KILLED)
    assert len(log.iteration) >= flushed
    np.testing.assert_array_equal(log.iteration, np.arange(len(log.iteration)))
    np.testing.assert_array_equal(log.metrics["loss"], log.iteration % 3)
    np.testing.assert_array_equal(log.traffic["uplink_bytes"], log.iteration)
    assert (log.seconds == log.iteration[:, None, None] + 0.5).all()
    assert validate_log(path) == []


_FULL_DISK = """
import resource, signal
from lad_mpi.logs import writer

resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
close_broken = writer.close_broken

def close_without_limit(file):
    # The limit simulates a full disk, but the copy in memory must not be limited.
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    close_broken(file)

writer.close_broken = close_without_limit
"""


def test_a_full_disk_is_a_plain_message(tmp_path):
    path = tmp_path / "run.h5"
    process = _start(path, _FULL_DISK)
    printed, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert error.splitlines()[0] == f"RunFailedError: cannot write the log {path}: File too large"
    assert "Traceback" not in error
    log = read_log(path)
    assert len(log.iteration) == int(printed.split()[-1])
    assert (log.seconds == log.iteration[:, None, None] + 0.5).all()
    assert validate_log(path) == []


def test_the_schema_describes_every_dataset(complete_log):
    described = {"iteration", "rank", "phase", "parameter", "model", "seconds"}
    described |= {"reason", "refusals"}
    for table in (schema.STEP_METRICS, schema.COUNTS, schema.TRAFFIC):
        described |= {variable.name for variable in table}
    seen = set()

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            seen.add(name.rsplit("/", 1)[1])
            assert item.attrs["units"], name
            assert item.attrs["long_name"], name

    with h5py.File(complete_log) as file:
        file.visititems(visit)
    assert seen == described


@pytest.mark.parametrize("end", ["append", "finish"])
def test_a_file_that_replaced_the_log_is_left_alone(tmp_path, open_writer, block, end):
    path = tmp_path / "run.h5"
    writer = open_writer(path)
    writer.append(block(0, 2))
    path.unlink()
    foreign = os.urandom(300_000)
    draft = tmp_path / ".run.h5.part"
    path.write_bytes(foreign)
    draft.write_bytes(b"another run's")
    with pytest.raises(RunFailedError, match="is gone: it or its folder was removed or replaced"):
        writer.append(block(2, 1)) if end == "append" else writer.finish("interrupted")
    assert path.read_bytes() == foreign
    assert draft.read_bytes() == b"another run's"


def test_a_run_that_lost_its_folder_leaves_the_next_run_alone(tmp_path, open_writer, block):
    folder = tmp_path / "results"
    first = open_writer(folder / "run.h5")
    first.append(block(0, 2))
    folder.rename(tmp_path / "aside")
    second = open_writer(folder / "run.h5")
    second.append(block(0, 1))
    with pytest.raises(RunFailedError, match="is gone"):
        first.append(block(2, 1))
    log = read_log(folder / "run.h5")
    assert (log.status, log.recorded) == ("running", 1)
    second.append(block(1, 1))
    second.finish("interrupted")
    assert (read_log(folder / "run.h5").recorded, validate_log(folder / "run.h5")) == (2, [])
    assert read_log(tmp_path / "aside" / "run.h5").recorded == 2
