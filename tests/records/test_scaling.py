"""The record of a scaling study."""

import dataclasses
import json

import pytest

from lad_mpi.errors import LogFormatError
from lad_mpi.records import (
    DRIFT_THRESHOLD,
    ScalingCase,
    ScalingLaunch,
    ScalingRecord,
    read_scaling,
    write_scaling,
)

CASE = ScalingCase("p2", 2, {"coding.load": 3}, 1.0, "specs/a.toml", "hash", "reference/a.h5")
RECORD = ScalingRecord(
    "strong", "n", "nothing grows", "p2", [2], {"coding.load": [3]}, 5, 1, None, ["mpiexec"],
    [CASE],
    [ScalingLaunch("p2", 1, 1, "logs/p2-1.h5", ["mpiexec"], 0.5, "it is failed")],
    {"2": {"before": "b.json"}}, ["the machine drifted"],
)  # fmt: skip


def test_a_record_is_read_back_from_its_folder_or_file(tmp_path):
    path = write_scaling(tmp_path, RECORD)
    assert read_scaling(tmp_path) == read_scaling(path) == RECORD
    assert RECORD.case("p2") is CASE


def test_the_plan_is_all_that_was_not_done_on_the_way():
    names = {field.name for field in dataclasses.fields(RECORD)}
    assert names - RECORD.plan.keys() == {"launches", "baselines", "void", "drift"}


def test_a_record_without_a_threshold_has_that_of_its_time(tmp_path):
    path = write_scaling(tmp_path, RECORD)
    found = json.loads(path.read_text())
    found.pop("drift")
    path.write_text(json.dumps(found))
    assert read_scaling(tmp_path).drift == DRIFT_THRESHOLD


def test_a_damaged_record_is_refused(tmp_path):
    path = write_scaling(tmp_path, RECORD)
    found = json.loads(path.read_text())
    found["cases"][0].pop("ranks")
    path.write_text(json.dumps(found))
    with pytest.raises(LogFormatError, match="damaged or incomplete"):
        read_scaling(tmp_path)
