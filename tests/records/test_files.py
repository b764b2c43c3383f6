"""Records are whole or absent, and say what they are."""

import json

import pytest

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.records import read_record, write_record


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_record(path, "baseline", 3, {"x": [1.5, None]})
    assert read_record(path, "baseline", 3)["x"] == [1.5, None]
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "b.json"
    write_record(path, "baseline", 1, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_record(path, "baseline", 1, {"x": float("nan")})
    assert read_record(path, "baseline", 1)["x"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "b.json").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*b\.json"):
        write_record(tmp_path / "b.json", "baseline", 1, {})
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", LogFormatError, "not JSON"),
        ("[]", LogFormatError, "not a record of kind baseline"),
        (json.dumps({"format": "lad_mpi-scaling"}), LogFormatError, "not a record of kind"),
        (
            json.dumps({"format": "lad_mpi-baseline", "format_version": 9}),
            LogFormatError,
            "version 9; this release reads version 1",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, error, message):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(error, match=message):
        read_record(tmp_path / "b.json", "baseline", 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_record(tmp_path / "none.json", "baseline", 1)
