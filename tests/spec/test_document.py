"""Spec files, overrides, and files that are something else."""

import os
from pathlib import Path

import pytest

from lad_mpi.errors import SpecError, UsageError
from lad_mpi.spec import load_spec


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('name = "a"\n[coding]\nkind = "cyclic"\nload = 5\n')
    return path


def test_overrides_take_toml_values_and_bare_words(spec_file):
    overrides = [
        "coding.load=7",
        "name=other",
        "optimizer.step_size=1e-4",
        'attack={kind = "ipm", tau = 2.0}',
    ]
    spec = load_spec(spec_file, overrides)
    assert (spec.coding.load, spec.name, spec.optimizer.step_size) == (7, "other", 1e-4)
    assert (spec.attack.kind, spec.attack.tau) == ("ipm", 2.0)


def test_a_table_with_a_kind_replaces_and_one_without_changes(spec_file):
    assert load_spec(spec_file, ['coding={kind="draco_repetition"}']).coding.load is None
    changed = load_spec(spec_file, ['coding={assignment="fixed"}']).coding
    assert (changed.load, changed.assignment) == (5, "fixed")


def test_a_byte_order_mark_is_no_obstacle(spec_file):
    spec_file.write_bytes(b"\xef\xbb\xbf" + spec_file.read_bytes())
    assert load_spec(spec_file).coding.load == 5


@pytest.mark.parametrize("override", ["coding.load", "=3", "name.x=3"])
def test_overrides_that_make_no_sense_are_refused(spec_file, override):
    with pytest.raises(SpecError):
        load_spec(spec_file, [override])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.toml: cannot be read: No such file"):
        load_spec(tmp_path / "absent.toml")


def test_broken_toml_is_located(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("name = \n")
    with pytest.raises(UsageError, match=r"not a TOML file.*line 1"):
        load_spec(path)


def test_a_study_is_told_from_a_spec(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("[base]\n[axes]\nseed = [1]\n")
    with pytest.raises(UsageError, match=r"this is a study(.|\n)*lad-mpi study run"):
        load_spec(path)


@pytest.mark.parametrize("override", ["a.b." * 10_000 + "c=1", "coding={" + "a." * 10_000 + "b=1}"])
def test_overrides_nest_no_deeper_than_files(spec_file, override):
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file, [override])
    assert len(str(caught.value)) < 1000


def test_a_word_of_brackets_is_a_word(spec_file):
    with pytest.raises(SpecError, match=r"coding\.load: expected .*, found '\[\[\[\["):
        load_spec(spec_file, ["coding.load=" + "[" * 4000])


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_only_a_regular_file_is_read(tmp_path, make):
    make(tmp_path / "a.toml")
    with pytest.raises(UsageError, match=r"a\.toml: cannot be read"):
        load_spec(tmp_path / "a.toml")


def test_a_large_file_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(UsageError, match="larger than 1048576 bytes"):
        load_spec(path)
