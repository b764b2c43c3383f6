"""Checkpoints are complete or missing, and damaged ones are skipped with a note."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from lad_mpi.errors import RunFailedError
from lad_mpi.training.checkpoint import ArrayLayout, Checkpoint, Checkpoints

MODEL = np.array([1 / 3, -0.0, 1e-310, 1.7e308])
F8, F4 = np.dtype(np.float64), np.dtype(np.float32)
ARRAYS = {
    "model": ArrayLayout((4,), F8, required=True),
    "rule/state": ArrayLayout((4,), F8, required=False),
    "devices/residuals": ArrayLayout((3, 4), F4, required=False),
}
STATES = {"rule/state": np.arange(4.0), "devices/residuals": np.ones((3, 4), dtype=np.float32)}


@dataclass
class Log:
    """The parts of a log head that a checkpoint must match."""

    recorded: int
    uuid: str = "u"
    identity: str = "h"


def load(checkpoints, recorded, arrays=ARRAYS):
    return checkpoints.load(Log(recorded), arrays)


def make(iterations, *, uuid="u", identity="h", states=()):
    return Checkpoint(iterations, uuid, identity, {"model": MODEL, **dict(states)})


def assert_same_arrays(found, saved):
    assert found.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        loaded = found.arrays[name]
        assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
        assert loaded.tobytes() == array.tobytes()


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "run.h5")


@pytest.mark.parametrize("names", [(), ("rule/state",), ("devices/residuals",), (*STATES,)])
def test_what_is_saved_is_loaded_bit_for_bit(checkpoints, names):
    saved = make(7, states={name: STATES[name] for name in names})
    checkpoints.save(saved)
    found, notes = load(checkpoints, 7)
    assert notes == []
    assert found.iterations == 7
    assert_same_arrays(found, saved)


def test_the_two_newest_are_kept(checkpoints, tmp_path):
    other = Checkpoints(tmp_path / "run.checkpoint.h5")
    other.save(make(1))
    for iterations in (5, 900, 1000, 10_000_000_000):
        checkpoints.save(make(iterations))
    names = [path.name for path in checkpoints.paths()]
    assert names == ["run.checkpoint-10000000000.npz", "run.checkpoint-000001000.npz"]
    checkpoints.clear()
    assert checkpoints.paths() == []
    assert len(other.paths()) == 1


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    # Flip a bit of the model, which is stored uncompressed in the archive.
    raw = bytearray(path.read_bytes())
    place = raw.find(MODEL.tobytes())
    assert place > 0
    raw[place + 3] ^= 4
    path.write_bytes(raw)


def _foreign(path):
    np.savez(path, other=np.arange(3))


def _pickled(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("model.npy", "w") as member:
        np.lib.format.write_array(member, np.array([{}], dtype=object), allow_pickle=True)


def _directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, _foreign, _pickled, _directory])
def test_a_damaged_checkpoint_is_skipped_with_a_note(checkpoints, damage):
    checkpoints.save(make(400))
    newest = checkpoints.save(make(500))
    damage(newest)
    found, notes = load(checkpoints, 500)
    assert found.iterations == 400
    assert len(notes) == 1
    assert notes[0].startswith("skipped run.checkpoint-000000500.npz: it is damaged (")


@pytest.mark.parametrize(
    ("changes", "recorded", "why"),
    [
        ({"uuid": "another"}, 500, "belongs to another run"),
        ({"identity": "another"}, 500, "belongs to another run"),
        ({}, 499, "the log has only 499 iterations"),
    ],
)
def test_a_checkpoint_that_does_not_match_the_log_is_skipped(checkpoints, changes, recorded, why):
    checkpoints.save(make(400))
    checkpoints.save(make(500, **changes))
    found, notes = load(checkpoints, recorded)
    assert found.iterations == 400
    assert why in notes[0]


def test_without_a_valid_checkpoint_load_returns_none(checkpoints, tmp_path):
    assert load(checkpoints, 0) == (None, [])
    _cut(checkpoints.save(make(5)))
    found, notes = load(checkpoints, 9)
    assert found is None
    assert len(notes) == 1
    assert Checkpoints(tmp_path / "gone" / "run.h5").paths() == []


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_earlier_ones_and_no_draft(
    checkpoints, tmp_path, monkeypatch, broken
):
    checkpoints.save(make(400))

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    monkeypatch.setattr(type(tmp_path), "replace", fail if broken == "replace" else os.replace)
    with pytest.raises(RunFailedError, match=r"checkpoint-000000500\.npz: No space left on device"):
        checkpoints.save(make(500))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint-000000400.npz"]
    assert load(checkpoints, 500)[0].iterations == 400


def test_no_flipped_bit_changes_the_loaded_state(checkpoints):
    whole = make(7, states=STATES)
    path = checkpoints.save(whole)
    raw = path.read_bytes()
    kept = 0
    for place in range(len(raw)):
        for bit in range(8):
            path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
            found, _ = load(checkpoints, 7)
            if found is None:
                continue
            kept += 1
            assert found.iterations == 7
            assert_same_arrays(found, whole)
    # Flips in dates and other unused fields of the archive do not matter.
    assert kept < 8 * len(raw) / 2


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_read_error_is_not_taken_for_damage(checkpoints, monkeypatch, number):
    checkpoints.save(make(400))
    checkpoints.save(make(500))

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(RunFailedError, match=r"checkpoint-000000500\.npz cannot be read"):
        load(checkpoints, 500)
    assert len(checkpoints.paths()) == 2


def _rewritten(path, change=None, *, about=None, compressed=False):
    """Rewrite a checkpoint with changes that only an attacker would make."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    described = json.loads(arrays.pop("about").tobytes())
    if change is not None:
        change(arrays)
    described |= {"arrays": list(arrays), **(about or {})}
    encoded = np.frombuffer(json.dumps(described).encode(), dtype=np.uint8)
    (np.savez_compressed if compressed else np.savez)(path, about=encoded, **arrays)


def _claim(path):
    """Claim an array of 8 TB."""
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            with archive.open(name, "w") as member:
                if name == "model.npy":
                    np.lib.format.write_array_header_1_0(member, header)
                else:
                    member.write(content)


HOSTILE = {
    "shape": lambda path: _rewritten(path, lambda arrays: arrays.update(model=np.ones(5))),
    "dtype": lambda path: _rewritten(path, lambda arrays: arrays.update(model=np.ones(4, "i8"))),
    "text": lambda path: _rewritten(path, lambda arrays: arrays.update(model=np.array(["x"] * 4))),
    "no model": lambda path: _rewritten(path, lambda arrays: arrays.pop("model")),
    "other array": lambda path: _rewritten(path, lambda arrays: arrays.update(x=np.ones(4))),
    "state": lambda path: _rewritten(
        path, lambda arrays: arrays.update({"rule/state": np.ones((4, 4))})
    ),
    "iterations as text": lambda path: _rewritten(path, about={"iterations": "500"}),
    "half an iteration": lambda path: _rewritten(path, about={"iterations": 500.5}),
    "negative": lambda path: _rewritten(path, about={"iterations": -1}),
    "uuid": lambda path: _rewritten(path, about={"uuid": ["u"]}),
    "compressed": lambda path: _rewritten(path, compressed=True),
    "claims": _claim,
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_checkpoint_is_skipped(checkpoints, attack):
    checkpoints.save(make(400))
    attack(checkpoints.save(make(500)))
    found, notes = load(checkpoints, 500)
    assert found.iterations == 400
    assert "checkpoint-000000500.npz: it is damaged (" in notes[0]


@pytest.mark.timeout(5)
def test_neither_a_fifo_nor_a_link_is_read(checkpoints, tmp_path):
    checkpoints.save(make(400))
    os.mkfifo(checkpoints.path(500))
    (tmp_path / "elsewhere").write_bytes(checkpoints.path(400).read_bytes())
    checkpoints.path(600).symlink_to(tmp_path / "elsewhere")
    found, notes = load(checkpoints, 600)
    assert found.iterations == 400
    assert len(notes) == 2
    assert "is a link" in notes[0]
    assert "is not a regular file" in notes[1]


def test_a_missing_required_array_is_damage(checkpoints):
    checkpoints.save(make(5))
    needed = {**ARRAYS, "devices/residuals": ArrayLayout((3, 4), F4)}
    found, notes = load(checkpoints, 5, needed)
    assert found is None
    assert "it has no devices/residuals" in notes[0]
