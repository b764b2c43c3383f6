"""Malicious logs, links and locks are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.logs import (
    OutputLock,
    find_logs,
    is_being_written,
    read_head,
    read_log,
    relabel,
    validate_log,
)

SECRET = "a secret of 32 bytes, of another"


def _link_outside(log, secret):
    with h5py.File(log, "r+") as file:
        del file["metrics/loss"]
        file["metrics/loss"] = h5py.ExternalLink(str(secret), "/x")


def _link_inside(log, secret):
    with h5py.File(log, "r+") as file:
        del file["metrics/loss"]
        file["metrics/loss"] = h5py.SoftLink("/metrics/gradient_norm")


def _store_outside(log, secret):
    with h5py.File(log, "r+") as file:
        del file["metrics/loss"]
        file["metrics"].create_dataset("loss", (4,), "f8", external=[(str(secret), 0, 32)])


def _show_outside(log, secret):
    with h5py.File(log, "r+") as file:
        del file["metrics/loss"]
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (5,))
        file["metrics"].create_virtual_dataset("loss", layout)


SHOWING = [_link_outside, _link_inside, _store_outside, _show_outside]


@pytest.mark.parametrize("plant", SHOWING)
def test_a_log_that_refers_to_other_places_is_refused_by_all_readers(complete_log, tmp_path, plant):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    plant(complete_log, secret)
    assert "/metrics/loss is " in validate_log(complete_log)[0]
    for act in (read_log, read_head):
        with pytest.raises(LogFormatError, match="/metrics/loss is "):
            act(complete_log)
    with pytest.raises(LogFormatError, match="/metrics/loss is "):
        relabel(complete_log, ["x"])
    assert secret.read_text() == SECRET


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "dangling"])
def test_other_kinds_of_files_do_not_block_a_reader(complete_log, tmp_path, kind):
    odd = tmp_path / "odd.h5"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    found = find_logs([tmp_path])
    assert complete_log in found
    for act in (read_log, validate_log):
        with pytest.raises(UsageError, match=r"odd\.h5 (cannot be read: is not a reg|does not ex)"):
            act(odd)
    assert is_being_written(odd) is False


def test_folders_in_folders_are_searched_however_deep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth, folder = 1200, Path("d")
    for _ in range(depth):
        folder.mkdir()
        os.chdir(folder)
    try:
        assert find_logs([tmp_path]) == []
    finally:
        for _ in range(depth):
            os.chdir("..")
            folder.rmdir()


ODD = {
    "link": lambda lock, target: lock.symlink_to(target),
    "hard link": lambda lock, target: lock.hardlink_to(target),
    "fifo": lambda lock, target: os.mkfifo(lock),
    "folder": lambda lock, target: lock.mkdir(),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("plant", ODD.values(), ids=ODD)
def test_a_lock_that_is_something_else_is_not_written(tmp_path, plant):
    target = tmp_path / "bashrc"
    target.write_text("mine")
    plant(tmp_path / ".run.h5.lock", target)
    with pytest.raises(OSError, match=r"link|regular|another name|directory"):
        OutputLock(tmp_path / "run.h5")
    assert target.read_text() == "mine"


def test_a_lock_that_was_left_by_a_kill_is_taken(tmp_path):
    lock = tmp_path / ".run.h5.lock"
    lock.write_text(json.dumps({"host": "x"}))
    with OutputLock(tmp_path / "run.h5") as held:
        assert held.is_held
    assert not lock.exists()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("spec", "iterations = 5", "spec: seed: Field required"),
        ("spec", "seed = 'x'\niterations = 5", "spec: seed: Input should be a valid integer"),
        ("spec", "seed = 1\niterations = -5", "spec: iterations: Input should be greater"),
        ("spec", "seed = 1\niterations = 5\ncoding = 3", "spec: coding: "),
        ("spec", "seed = 1\niterations = 5\ncoding.load = 0", "spec: coding.load: "),
        ("spec", "seed = 1\niterations = 5\nx = 1979-05-27", "spec: x is a date"),
        ("spec", "seed = 1\niterations = 5\nx = " + "[" * 5000, "root attribute spec is not TOML"),
        (
            "spec",
            "seed = 1\niterations = 5\n" + "a." * 5000 + "a = 1",
            "it nests deeper than 32 levels",
        ),
        ("names", np.zeros((0,), dtype=h5py.string_dtype()), "attribute names of / is missing or"),
        ("names", 3.0, "attribute names of / is missing or"),
        ("packages", "numpy", "attribute packages of / is missing or"),
        ("status", "fine", "its status is 'fine'"),
        ("status", h5py.Empty("f"), "attribute status of / is missing or"),
    ],
)
def test_an_attribute_of_another_type_is_named(complete_log, place, value, words):
    with h5py.File(complete_log, "r+") as file:
        file.attrs[place] = value
    assert any(words in finding for finding in validate_log(complete_log))
    with pytest.raises(LogFormatError, match=r"complete\.h5 is damaged") as caught:
        read_log(complete_log)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_iteration", -1),
        ("first_iteration", "0"),
        ("mpi_ranks", 10**9),
        ("oversubscribed", "no"),
        ("hosts", "node1"),
        ("affinity", np.array(["0-x"], dtype=h5py.string_dtype())),
        ("git_revision", 3),
        ("anything", np.zeros((2, 2))),
        ("anything", h5py.Empty("f")),
    ],
)
def test_provenance_of_another_type_is_damage(complete_log, name, value):
    with h5py.File(complete_log, "r+") as file:
        file["provenance"].attrs[name] = value
    assert validate_log(complete_log)
    with pytest.raises(LogFormatError, match="/provenance"):
        read_log(complete_log)


def test_launches_with_wrong_numbers_are_damage(complete_log):
    with h5py.File(complete_log, "r+") as file:
        file["provenance"].create_group("launch_x")
    with pytest.raises(LogFormatError, match="group /provenance/launch_0 is missing"):
        read_log(complete_log)


DATASETS = [
    "metrics/iteration",
    "metrics/loss",
    "metrics/refusals",
    "metrics/reason",
    "timing/seconds",
    "timing/rank",
    "timing/phase",
    "traffic/uplink_bytes",
    "state/model",
    "state/loss",
]
VALUES = [
    np.zeros(0),
    np.zeros(5),
    np.zeros(5, dtype=np.int64),
    np.zeros((5, 3)),
    np.zeros((5, 3, 3)),
    np.zeros(5, dtype=[("a", "f8"), ("b", "i4")]),
    np.zeros(5, dtype=np.complex128),
    np.full(5, 1e308),
    np.full(5, -(2**62)),
    np.array(["x"] * 5, dtype=h5py.string_dtype()),
    np.array([b"x"] * 5),
    h5py.Empty("f8"),
    7,
    "text",
]


@pytest.mark.parametrize("name", DATASETS)
def test_valid_logs_can_be_read_and_all_others_are_damage(complete_log, tmp_path, name):
    for number, value in enumerate(VALUES):
        path = tmp_path / f"{number}.h5"
        path.write_bytes(complete_log.read_bytes())
        with h5py.File(path, "r+") as file:
            attributes = dict(file[name].attrs)
            del file[name]
            file[name] = value
            for key in ("units", "long_name", "training_phases", "warmup_iterations"):
                if key in attributes:
                    file[name].attrs[key] = attributes[key]
        if validate_log(path):
            try:
                read_log(path)
            except LogFormatError:
                continue
        # Readers may accept logs that violate the schema.
        read_log(path)
        read_head(path)
