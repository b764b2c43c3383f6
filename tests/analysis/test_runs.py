"""Logs become methods, and none is lost on the way."""

from __future__ import annotations

import pytest

from analysis.runs import flatten, load_collection, natural_key
from lad_mpi.errors import UsageError


def test_runs_are_grouped_by_spec_without_seed(study):
    collection = load_collection([study])
    assert [method.label for method in collection.methods] == [
        "Com-LAD",
        "DRACO",
        "LAD d=1",
        "LAD d=2",
        "LAD d=5",
        "LAD d=10",
        "LAD-NNM d=2",
        "LAD-NNM d=5",
    ]
    assert all(sorted(method.by_seed) == [1, 2] for method in collection.methods)
    assert collection.excluded == ()


def test_methods_of_one_name_are_told_apart_by_what_differs(write_run, tmp_path):
    write_run("a.h5")
    write_run("b.h5", optimizer={"step_size": 0.01})
    write_run("c.h5", ranks=2)
    write_run("d.h5", name="other")
    collection = load_collection([tmp_path])
    assert {method.label for method in collection.methods} == {
        "LAD d=2 (step_size=0.001, ranks=3)",
        "LAD d=2 (step_size=0.01, ranks=3)",
        "LAD d=2 (step_size=0.001, ranks=2)",
        "other",
    }


def test_launches_of_one_seed_count_once_for_errors(write_run, tmp_path):
    write_run("a.h5")
    write_run("b.h5")
    (method,) = load_collection([tmp_path]).methods
    assert (len(method.runs), list(method.by_seed)) == (2, [1])


def test_what_is_not_complete_is_listed_with_its_reason(write_run, tmp_path):
    write_run("good.h5")
    write_run("failed.h5", status="failed", seed=3)
    write_run("stopped.h5", status="interrupted", name="other")
    (tmp_path / "study" / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    collection = load_collection([tmp_path])
    assert [len(method.runs) for method in collection.methods] == [1]
    damaged, failed, stopped = collection.describe_excluded()
    assert damaged.startswith("damaged.h5: unknown: ")
    assert failed == "failed.h5: LAD d=2, seed 3: the disk is full (5 of 12 iterations)"
    assert stopped == "stopped.h5: other, seed 1: interrupted (5 of 12 iterations)"


def test_without_a_complete_run_there_is_nothing_to_show(write_run, tmp_path):
    with pytest.raises(UsageError, match="no logs in"):
        load_collection([tmp_path])
    write_run("failed.h5", status="failed")
    with pytest.raises(UsageError, match=r"none of 1 logs .*\n.*the disk is full"):
        load_collection([tmp_path])


def test_names_sort_as_people_count():
    names = ["d=10", "D=9", "CWTM", "d=2b", "d=2", "10", ""]
    assert sorted(names, key=natural_key) == ["", "10", "CWTM", "d=2", "d=2b", "D=9", "d=10"]


def test_nested_tables_are_flattened():
    assert flatten({"a": 1, "b": {"c": {"d": 2}, "e": []}}) == {"a": 1, "b.c.d": 2, "b.e": []}
