"""Spec files, overrides, and files that are something else."""

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
