"""An interrupted and resumed run has the same bits as an uninterrupted one."""

from __future__ import annotations

import os
import signal

import h5py
import numpy as np
import pytest

from lad_mpi.errors import ExitCode
from lad_mpi.logs import OutputLock, read_log, validate_log
from lad_mpi.optimizers import OPTIMIZERS, SCHEDULES
from lad_mpi.spec import parse_spec
from lad_mpi.training import Existing, run_spec
from lad_mpi.training.checkpoint import Checkpoints
from lad_mpi.training.interrupt import InterruptRequest
from lad_mpi.transport import Loopback

SMALL = {
    "iterations": 23,
    "data": {"dimension": 7},
    "devices": {"count": 12, "byzantine": 2},
    "coding": {"kind": "cyclic", "load": 3},
    "logging": {"flush_every": 5, "evaluate_every": 3, "warmup_iterations": 2},
}
VARIANTS = {
    "plain": {},
    "float32": {"backend": {"dtype": "float32"}},
    "stateful rule": {"aggregation": {"kind": "centered_clipping"}},
    "random pre-aggregation": {"aggregation": {"kind": "median", "pre": ["bucketing"]}},
    "rand_k": {"compression": {"kind": "rand_k", "k": 3}},
    "error feedback": {"compression": {"kind": "sign", "error_feedback": True}},
    "draco": {"coding": {"kind": "draco_cyclic_real"}},
    "omniscient": {"attack": {"kind": "alie"}},
    "on the wire": {"attack": {"kind": "mutate"}, "compression": {"kind": "qsgd", "levels": 4}},
    # The run stops while the attack learns.
    "attack that learns": {"attack": {"kind": "mimic", "warmup": 18}},
    "flipped labels": {"attack": {"kind": "label_flip"}},
    "all states": {
        "data": {"kind": "synthetic_classification", "classes": 3, "dimension": 4},
        "model": {"kind": "mlp", "hidden": [3], "l2": 0.01},
        "devices": {"count": 12, "byzantine": 2, "batch_size": 3, "momentum": 0.9},
        "compression": {"kind": "top_k", "k": 5, "error_feedback": True},
        "attack": {"kind": "mimic", "warmup": 18},
        "aggregation": {"kind": "centered_clipping"},
        "optimizer": {
            "kind": "adam",
            "weight_decay": 0.01,
            "schedule": {"kind": "cosine", "warmup": 7},
        },
    },
}
REQUIRED = {"step": {"every": 5}, "inverse": {"scale": 3.0}}
UPDATES = {
    **{kind: {"kind": kind} for kind in OPTIMIZERS},
    "nesterov": {"kind": "momentum", "nesterov": True},
    **{
        kind: {"schedule": {"kind": kind, "warmup": 4, **REQUIRED.get(kind, {})}}
        for kind in SCHEDULES
    },
}


class Watcher:
    """Sends a signal after a number of flushes, and records notes."""

    def __init__(self, flushes=0):
        self.left = flushes
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def update(self, iteration, iterations, loss):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def start(path, changes=(), *, flushes=0, existing=Existing.RESUME, **sections):
    spec = parse_spec({**SMALL, **dict(changes), **sections})
    watcher = Watcher(flushes)
    outcome = run_spec(spec, Loopback(), path, progress=watcher, existing=existing)
    return outcome, watcher.notes


def assert_same_run(one, two):
    """Check that all but times, launches and ids is identical, bit for bit."""
    left, right = read_log(one), read_log(two)
    assert left.identity == right.identity
    for kind in ("metrics", "refusals", "traffic"):
        a, b = getattr(left, kind), getattr(right, kind)
        assert a.keys() == b.keys()
        for name, values in a.items():
            assert values.tobytes() == b[name].tobytes(), name
    np.testing.assert_array_equal(left.iteration, right.iteration)
    assert left.final.model.tobytes() == right.final.model.tobytes()
    np.testing.assert_equal(left.final.metrics, right.final.metrics)


@pytest.fixture
def straight(tmp_path):
    def make(variant=()):
        outcome, _ = start(tmp_path / "straight.h5", variant, existing=Existing.REFUSE)
        assert outcome.status == "complete"
        return tmp_path / "straight.h5"

    return make


@pytest.mark.usefixtures("standin_gpu")
@pytest.mark.parametrize("transfers", ["direct", "staged"])
@pytest.mark.parametrize("variant", ["plain", "stateful rule", "on the wire", "all states"])
def test_an_interrupted_run_on_a_gpu_ends_like_one_that_was_not(
    tmp_path, straight, variant, transfers
):
    """A checkpoint stores host arrays, and a resumed run copies them back to the GPU."""
    on_gpu = {**VARIANTS[variant], "backend": {"kind": "cupy", "gpu_transfers": transfers}}
    check_that_an_interrupted_run_ends_alike(tmp_path, straight, on_gpu, 7)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("every", [0, 7])
def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path, straight, variant, every):
    check_that_an_interrupted_run_ends_alike(tmp_path, straight, variant, every)


@pytest.mark.parametrize("optimizer", UPDATES.values(), ids=UPDATES)
def test_every_optimizer_and_schedule_continues_where_it_stopped(tmp_path, straight, optimizer):
    variant = {"optimizer": {"step_size": 3e-4, "weight_decay": 0.1, **optimizer}}
    check_that_an_interrupted_run_ends_alike(tmp_path, straight, variant, 7)


def check_that_an_interrupted_run_ends_alike(tmp_path, straight, variant, every):
    path, safety = tmp_path / "run.h5", {"safety": {"checkpoint_every": every}}
    outcome, notes = start(path, variant, flushes=2, **safety)
    assert (outcome.status, outcome.exit_code) == ("interrupted", ExitCode.CHECKPOINTED)
    assert notes == ["there is no log yet: starting the run"]
    assert validate_log(path) == []
    reached = len(read_log(path).iteration)
    outcome, notes = start(path, variant, flushes=1, **safety)
    assert outcome.status == "interrupted"
    assert notes == [f"continuing after {reached} of 23 iterations"]
    outcome, _ = start(path, variant, **safety)
    assert outcome.status == "complete"
    assert validate_log(path) == []
    assert_same_run(straight(variant), path)
    assert len(read_log(path).restarts) == 2
    assert list(tmp_path.glob("*.npz")) == []


@pytest.mark.parametrize("variant", ["plain", "error feedback"])
def test_a_run_stopped_before_the_first_iteration_can_be_resumed(tmp_path, straight, variant):
    path, spec = tmp_path / "run.h5", parse_spec({**SMALL, **VARIANTS[variant]})
    with InterruptRequest() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        outcome = run_spec(spec, Loopback(), path, progress=Watcher(), interrupt=interrupt)
    assert outcome.exit_code == ExitCode.CHECKPOINTED
    assert (len(read_log(path).iteration), validate_log(path)) == (0, [])
    outcome, notes = start(path, VARIANTS[variant])
    assert (outcome.status, notes) == ("complete", ["continuing after 0 of 23 iterations"])
    assert_same_run(straight(VARIANTS[variant]), path)


def test_a_checkpoint_names_every_state(tmp_path):
    start(tmp_path / "run.h5", VARIANTS["all states"], flushes=2)
    (path,) = tmp_path.glob("*.npz")
    with np.load(path) as archive:
        names = set(archive.files) - {"about"}
    assert names == {
        "model",
        "optimizer/mean",
        "optimizer/mean_square",
        "attack/mean",
        "attack/direction",
        "attack/device",
        "rule/state",
        "devices/residuals",
        "devices/momentum",
        "evaluation/dispersion",
    }


def test_an_interrupted_run_leaves_its_records_and_one_checkpoint(tmp_path):
    path = tmp_path / "run.h5"
    start(path, flushes=3)
    log = read_log(path)
    assert (log.status, log.failure) == ("interrupted", "by SIGTERM after 15 iterations")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.checkpoint-000000015.npz", "run.h5"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, straight):
    path = tmp_path / "run.h5"
    start(path, flushes=2, safety={"checkpoint_every": 4})
    newest, before = Checkpoints(path).paths()
    newest.write_bytes(newest.read_bytes()[:100])
    outcome, notes = start(path)
    assert outcome.status == "complete"
    assert newest.name in notes[0]
    assert "damaged" in notes[0]
    assert notes[1] == f"continuing after {int(before.stem[-9:])} of 23 iterations"
    assert_same_run(straight(), path)


def test_without_a_checkpoint_the_run_begins_again_under_its_own_name(tmp_path, straight):
    path = tmp_path / "run.h5"
    start(path, flushes=2)
    Checkpoints(path).clear()
    before = read_log(path)
    outcome, notes = start(path)
    assert outcome.status == "complete"
    assert notes == ["there is no checkpoint: starting the run again"]
    log = read_log(path)
    assert (log.uuid, log.restarts) == (before.uuid, (0,))
    assert_same_run(straight(), path)


def test_a_complete_run_is_left_alone(tmp_path):
    path = tmp_path / "run.h5"
    start(path)
    before = path.read_bytes()
    outcome, notes = start(path)
    assert (outcome.status, outcome.failure) == ("complete", "")
    assert notes == [f"{path} is already complete"]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_spec_is_not_resumed_but_other_safety_settings_are(tmp_path):
    path = tmp_path / "run.h5"
    start(path, flushes=1)
    before = path.read_bytes()
    outcome, _ = start(path, seed=2)
    assert outcome.exit_code == ExitCode.USAGE
    assert "is the log of another run:\n  seed was 1 and is 2\n" in outcome.failure
    assert path.read_bytes() == before
    outcome, _ = start(path, safety={"timeout_s": 5.0, "checkpoint_every": 3})
    assert outcome.status == "complete"


@pytest.mark.parametrize("flushes", [1, 0], ids=["interrupted", "complete"])
def test_times_of_two_networks_are_not_mixed_in_one_log(tmp_path, flushes):
    path = tmp_path / "run.h5"
    start(path, flushes=flushes)
    before = path.read_bytes()
    outcome, _ = start(path, network={"emulate": {"latency": "1us"}})
    assert outcome.exit_code == ExitCode.USAGE
    assert 'network.emulate.latency was not set and is "1us"' in outcome.failure
    assert path.read_bytes() == before
    assert start(path)[0].status == "complete"


@pytest.mark.parametrize("make", [os.link, os.rename], ids=["hard link", "renamed"])
def test_checkpoints_belong_to_the_file_whatever_its_name(tmp_path, make):
    start(tmp_path / "run.h5", flushes=2)
    make(tmp_path / "run.h5", tmp_path / "other.h5")
    start(tmp_path / "stranger.h5", flushes=1)
    outcome, notes = start(tmp_path / "other.h5")
    assert outcome.status == "complete"
    assert notes == ["continuing after 10 of 23 iterations"]


def test_a_hard_link_without_checkpoints_is_not_started_again(tmp_path):
    start(tmp_path / "run.h5", flushes=2)
    other = tmp_path / "elsewhere" / "other.h5"
    other.parent.mkdir()
    os.link(tmp_path / "run.h5", other)
    before = other.read_bytes()
    outcome, _ = start(other)
    assert outcome.exit_code == ExitCode.USAGE
    assert "the checkpoints may be there" in outcome.failure
    assert other.read_bytes() == before
    assert list(other.parent.iterdir()) == [other]
    outcome, notes = start(tmp_path / "run.h5")
    assert (outcome.status, notes) == ("complete", ["continuing after 10 of 23 iterations"])


def write_csv(path, factor):
    values = factor * np.arange(36.0).reshape(12, 3)
    np.savetxt(path, values, delimiter=",", header="a,b,y", comments="")


def test_a_run_with_changed_data_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, file = tmp_path / "run.h5", tmp_path / "data.csv"
    data = {"kind": "file", "path": "data.csv"}
    write_csv(file, 1.0)
    start(path, flushes=1, data=data)
    old = read_log(path).data_digest
    before = path.read_bytes()
    write_csv(file, 2.0)
    outcome, _ = start(path, data=data)
    assert outcome.exit_code == ExitCode.USAGE
    new = parse_spec({**SMALL, "data": data}).data.digest()
    assert f"data.path: the digest of the data was {old} and is {new}" in outcome.failure
    file.unlink()
    outcome, _ = start(path, data=data)
    assert outcome.exit_code == ExitCode.USAGE
    assert outcome.failure.startswith("data file 'data.csv' does not exist")
    assert path.read_bytes() == before
    # Only the content matters: the same data with another name can continue.
    write_csv(tmp_path / "copy.csv", 1.0)
    assert start(path, data={"kind": "file", "path": "copy.csv"})[0].status == "complete"


def test_a_resumed_run_may_have_another_name(tmp_path):
    path = tmp_path / "run.h5"
    start(path, flushes=1, name="before")
    assert start(path, name="after")[0].status == "complete"
    assert read_log(path).names == ("after",)


def test_a_run_through_a_symbolic_link_writes_its_target(tmp_path):
    path, link = tmp_path / "run.h5", tmp_path / "elsewhere" / "link.h5"
    link.parent.mkdir()
    link.symlink_to(path)
    start(path, flushes=1)
    outcome, notes = start(link)
    assert outcome.status == "complete"
    assert "continuing after" in notes[-1]
    assert link.is_symlink()
    assert read_log(path).status == "complete"
    assert list(link.parent.iterdir()) == [link]


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symbolic", "hard"])
@pytest.mark.parametrize("existing", [Existing.RESUME, Existing.REPLACE])
def test_a_running_run_cannot_be_replaced_through_a_link(tmp_path, make, existing):
    path, link = tmp_path / "run.h5", tmp_path / "link.h5"
    seen = []

    class Intruder(Watcher):
        def update(self, iteration, iterations, loss):
            if not seen:
                make(path, link)
                intruder, _ = start(link, existing=existing)
                seen.append((intruder, read_log(link).status))

    outcome = run_spec(parse_spec(SMALL), Loopback(), path, progress=Intruder())
    assert outcome.status == "complete"
    [(intruder, status)] = seen
    assert intruder.exit_code == ExitCode.USAGE
    assert "is being written by another run" in intruder.failure
    assert status == "running"
    assert read_log(path).status == "complete"


def test_a_log_that_cannot_be_read_is_not_resumed(tmp_path):
    path = tmp_path / "run.h5"
    start(path, flushes=1)
    path.write_bytes(path.read_bytes()[:3000])
    outcome, _ = start(path)
    assert outcome.exit_code == ExitCode.USAGE
    assert "cannot resume" in outcome.failure
    assert "--overwrite" in outcome.failure


def test_a_run_that_another_one_writes_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    for existing in Existing:
        with OutputLock(path):
            outcome, _ = start(path, existing=existing)
        assert outcome.exit_code == ExitCode.USAGE
        assert "is being written by another run" in outcome.failure
    assert not path.exists()


def test_starting_over_forgets_the_checkpoints_of_the_run_before(tmp_path):
    path = tmp_path / "run.h5"
    start(path, flushes=2)
    assert len(Checkpoints(path).paths()) == 1
    start(path, existing=Existing.REPLACE, flushes=1)
    assert [p.name for p in Checkpoints(path).paths()] == ["run.checkpoint-000000005.npz"]


def test_a_log_that_cannot_be_made_costs_no_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    start(path, flushes=2)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lad_mpi.logs.writer.create_growing", full)
    for existing in (Existing.REPLACE, Existing.RESUME):
        outcome, _ = start(path, existing=existing)
        assert "No space left on device" in outcome.failure
        assert path.read_bytes() == before
        assert len(Checkpoints(path).paths()) == 1
    monkeypatch.undo()
    assert start(path)[1] == ["continuing after 10 of 23 iterations"]


def test_checkpoints_by_time_are_written(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, checkpoint: saved.append(checkpoint))
    start(tmp_path / "run.h5", safety={"checkpoint_every_s": 1e-9})
    assert [checkpoint.iterations for checkpoint in saved] == list(range(1, 23))


@pytest.mark.parametrize("gone", ["folder", "file"])
def test_an_output_that_disappears_is_named(tmp_path, gone):
    path = tmp_path / "results" / "run.h5"

    class Remove(Watcher):
        def update(self, iteration, iterations, loss):
            path.unlink()
            if gone == "folder":
                for rest in path.parent.iterdir():
                    rest.unlink()
                path.parent.rmdir()

    spec = parse_spec({**SMALL, "safety": {"checkpoint_every": 4}})
    outcome = run_spec(spec, Loopback(), path, progress=Remove())
    assert (outcome.status, outcome.exit_code) == ("failed", ExitCode.FAILED)
    assert f"the log {path} is gone" in outcome.failure


def test_a_log_of_a_failed_launch_goes_on(tmp_path, straight, monkeypatch):
    path = tmp_path / "run.h5"
    save, calls = Checkpoints.save, []

    def fail(self, checkpoint):
        calls.append(checkpoint)
        if len(calls) == 3:
            from lad_mpi.errors import RunFailedError

            raise RunFailedError("cannot write the checkpoint: No space left on device")
        return save(self, checkpoint)

    monkeypatch.setattr(Checkpoints, "save", fail)
    outcome, _ = start(path, safety={"checkpoint_every": 4})
    assert (outcome.status, outcome.exit_code) == ("failed", ExitCode.FAILED)
    with h5py.File(path) as file:
        assert file.attrs["status"] == "failed"
    monkeypatch.undo()
    outcome, notes = start(path)
    assert notes == ["continuing after 8 of 23 iterations"]
    assert outcome.status == "complete"
    assert_same_run(straight(), path)


def test_a_log_that_refers_to_another_file_is_not_copied(tmp_path):
    output, other = tmp_path / "run.h5", tmp_path / "private.h5"
    start(output, flushes=1)
    with h5py.File(other, "w") as file, h5py.File(output, "r+") as log:
        file["x"] = np.arange(5.0)
        del log["metrics/loss"]
        log["metrics/loss"] = h5py.ExternalLink("private.h5", "/x")
    before = output.read_bytes()
    outcome, _ = start(output)
    assert outcome.exit_code == ExitCode.USAGE
    assert "/metrics/loss is an external link" in outcome.failure
    assert output.read_bytes() == before


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", ["ranks", "phases"])
def test_a_damaged_log_is_refused_before_anything_is_made(tmp_path, damage):
    output = tmp_path / "run.h5"
    start(output, flushes=1)
    with h5py.File(output, "r+") as log:
        if damage == "ranks":
            # A resumed log would have the same width.
            del log["timing/rank"]
            log["timing"].create_dataset("rank", (8_000_000,), "i8", chunks=(1000,))
        else:
            log["timing/phase"][1] = b"\xff"
    before = output.read_bytes()
    outcome, _ = start(output)
    assert outcome.exit_code == ExitCode.USAGE
    assert outcome.failure.startswith("cannot resume: ")
    assert output.read_bytes() == before


@pytest.mark.parametrize("existing", list(Existing))
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_an_output_that_is_no_file_is_refused_at_once(tmp_path, make, existing):
    make(tmp_path / "run.h5")
    outcome, _ = start(tmp_path / "run.h5", existing=existing)
    assert outcome.exit_code == ExitCode.USAGE
    assert "cannot write" in outcome.failure
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]


@pytest.mark.parametrize("existing", list(Existing))
@pytest.mark.parametrize("content", ["text", "nothing", "data"])
def test_a_link_to_another_kind_of_file_is_not_followed(tmp_path, content, existing):
    mine = tmp_path / "mine"
    mine.write_text("mine" if content == "text" else "")
    if content == "data":
        with h5py.File(mine, "w") as file:
            file["X"] = np.arange(5.0)
    before = mine.read_bytes()
    (tmp_path / "run.h5").symlink_to("mine")
    outcome, _ = start(tmp_path / "run.h5", existing=existing)
    assert outcome.exit_code == ExitCode.USAGE
    assert "it is a link to a file that is not a log" in outcome.failure
    assert mine.read_bytes() == before


def test_files_planted_beside_a_log_are_not_written(tmp_path):
    mine = tmp_path / "bashrc"
    mine.write_text("mine")
    output = tmp_path / "run.h5"
    for name in (".run.h5.part", ".run.h5.00000000.part", "run.checkpoint-000000005.npz"):
        (tmp_path / name).symlink_to(mine)
    outcome, _ = start(output, safety={"checkpoint_every": 5}, flushes=2)
    assert outcome.status == "interrupted"
    outcome, _ = start(output, safety={"checkpoint_every": 5})
    assert outcome.status == "complete"
    assert mine.read_text() == "mine"
    assert validate_log(output) == []
