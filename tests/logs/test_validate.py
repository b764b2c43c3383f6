"""Each violation of the schema is found."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lad_mpi.errors import UsageError
from lad_mpi.logs import validate_log


def _set(name, index, value):
    def damage(file):
        file[name][index] = value

    return damage


def _attribute(key, value, name="/"):
    def damage(file):
        file[name].attrs[key] = value

    return damage


def _delete(name):
    def damage(file):
        del file[name]

    return damage


def _resize(*names):
    def damage(file):
        for name in names:
            file[name].resize(4, axis=0)

    return damage


def _retype(file):
    values = file["metrics/loss"][:].astype(np.float32)
    attributes = dict(file["metrics/loss"].attrs)
    del file["metrics/loss"]
    file["metrics/loss"] = values
    for key in ("units", "long_name"):
        file["metrics/loss"].attrs[key] = attributes[key]


def _blind(file):
    file["timing/seconds"][2, :, :2] = np.nan


def _shorten(file):
    for group in ("metrics", "timing", "traffic"):
        for dataset in file[group].values():
            if dataset.maxshape[0] is None:
                dataset.resize(4, axis=0)


DAMAGES = {
    "format": (_attribute("format", "other"), "not a log of lad_mpi"),
    "version": (_attribute("format_version", 99), "version 99"),
    "no uuid": (lambda file: file.attrs.__delitem__("uuid"), "attribute uuid"),
    "status": (_attribute("status", "fine"), "status is 'fine'"),
    "spec": (_attribute("spec", "a ="), "not TOML"),
    "provenance": (_delete("provenance"), "/provenance"),
    "missing metric": (_delete("metrics/loss"), "/metrics/loss is missing"),
    "missing times": (_delete("timing/seconds"), "/timing/seconds is missing"),
    "missing phases": (_delete("timing/phase"), "/timing/phase is missing"),
    "missing traffic": (_delete("traffic/uplink_bytes"), "/traffic/uplink_bytes is missing"),
    "missing state": (_delete("state"), "group /state is missing"),
    "dtype": (_retype, "/metrics/loss has dtype float32"),
    "units": (_attribute("units", "seconds", "timing/seconds"), "units = 'seconds'"),
    "long name": (_attribute("long_name", "", "metrics/loss"), "/metrics/loss has long_name"),
    "flags": (
        _attribute("flag_meanings", "good bad ugly", "metrics/decoder_status"),
        "flag_meanings",
    ),
    "training phases": (
        _attribute("training_phases", ["compute", "magic"], "timing/seconds"),
        "'magic'",
    ),
    "warm-up": (
        lambda file: file["timing/seconds"].attrs.__delitem__("warmup_iterations"),
        "warmup_iterations",
    ),
    "lengths": (_resize("metrics/loss"), "differ in length"),
    "iterations": (_set("metrics/iteration", 2, 7), "/metrics/iteration does not count"),
    "infinite loss": (_set("metrics/loss", 1, np.inf), "/metrics/loss has infinite"),
    "negative norm": (_set("metrics/gradient_norm", 1, -1.0), "gradient_norm has negative"),
    "unknown flag": (_set("metrics/decoder_status", 1, 3), "flag_values"),
    "negative time": (_set("timing/seconds", (1, 1, 1), -1e-9), "seconds has negative"),
    "infinite time": (_set("timing/seconds", (1, 1, 1), np.inf), "seconds has infinite"),
    "no time": (_blind, "no training time in 1 iterations"),
    "negative bytes": (_set("traffic/downlink_bytes", 1, -1), "downlink_bytes has negative"),
    "not all iterations": (_shorten, "has 4 iterations; its spec asks for 5"),
    "model": (_set("state/model", 1, np.nan), "/state/model is not finite"),
    "failure of a complete run": (_attribute("failure", "oh"), "has the failure 'oh'"),
    "failure without reason": (_attribute("status", "failed"), "attribute failure is empty"),
    "not evaluated": (
        lambda file: (
            file.attrs.__setitem__(
                "spec", "seed = 1\niterations = 5\n[logging]\nevaluate_every = 2"
            ),
            file["metrics/loss"].__setitem__(slice(1, 5), np.nan),
        ),
        "NaN at 2 of the iterations",
    ),
}


def test_a_sound_log_has_no_findings(complete_log):
    assert validate_log(complete_log) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(complete_log, damage):
    inflict, finding = DAMAGES[damage]
    with h5py.File(complete_log, "r+") as file:
        inflict(file)
    findings = validate_log(complete_log)
    assert any(finding in line for line in findings), findings


def test_a_file_of_another_kind_is_a_finding(tmp_path):
    (tmp_path / "text.h5").write_text("loss")
    assert validate_log(tmp_path / "text.h5") == [f"{tmp_path / 'text.h5'} is not an HDF5 file"]
    with pytest.raises(UsageError):
        validate_log(tmp_path / "nowhere.h5")
