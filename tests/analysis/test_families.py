"""Methods are named by what they are, in as few words as tell them apart."""

from __future__ import annotations

import pytest

from analysis.families import brief_labels, load_families, name_methods, setting_of
from analysis.runs import Method, load_collection


def method(label="m", **spec):
    known = {
        "data": {"kind": "synthetic", "heterogeneity": 0.1},
        "model": {"kind": "linear_regression"},
        "devices": {"count": 10, "byzantine": 2},
        "coding": {"kind": "cyclic", "load": 1},
        "attack": {"kind": "sign_flip", "scale": -2.0},
        "aggregation": {"kind": "trimmed_mean", "pre": []},
    }
    return known | spec


@pytest.fixture
def found(write_run, tmp_path):
    """Identify the methods of specs, by their names."""

    def names(**specs):
        for name, changes in specs.items():
            write_run(f"{name}.h5", name=name, **changes)
        return {one.method.label: one for one in name_methods(load_collection([tmp_path]).methods)}

    return names


def test_what_all_share_is_not_said(found):
    names = found(a={"coding": {"load": 1}}, b={"coding": {"load": 2}})
    assert {one.family for one in names.values()} == {"trimmed mean"}
    assert [one.variant for one in names.values()] == ["trimmed mean, d = 1", "trimmed mean, d = 2"]


def test_settings_tell_what_differs(found):
    names = found(
        a={"devices": {"byzantine": 1}, "attack": {"kind": "ipm", "epsilon": 0.5}},
        b={"devices": {"byzantine": 2}, "attack": {"kind": "sign_flip", "scale": -2.0}},
        c={"devices": {"byzantine": 2}, "attack": {"kind": "ipm", "epsilon": 0.5}},
    )
    assert [names[label].setting for label in "abc"] == [
        "f = 1, attack ipm", "f = 2, attack sign flip", "f = 2, attack ipm",
    ]  # fmt: skip


def test_parameters_are_said_where_kinds_do_not_differ(found):
    krum = {"kind": "multi_krum", "m": 3}
    names = found(
        a={"attack": {"kind": "sign_flip", "scale": -2.0}},
        b={"attack": {"kind": "sign_flip", "scale": -10.0}},
        c={"aggregation": krum | {"pre": [{"kind": "bucketing", "size": 2}]}},
        d={"aggregation": krum | {"pre": [{"kind": "bucketing", "size": 3}]}},
    )
    assert names["a"].setting == "attack sign flip (scale −2)"
    assert names["b"].setting == "attack sign flip (scale −10)"
    assert names["c"].rule == "bucketing (size 2) + multi krum (m 3)"
    assert names["a"].rule == "trimmed mean"


def test_codes_codecs_and_other_values_tell_rules_apart(found):
    names = found(
        a={"compression": {"kind": "rand_k", "k": 3}},
        b={"coding": {"kind": "draco_repetition"}, "aggregation": None},
        c={"optimizer": {"step_size": 0.1}},
        d={"optimizer": {"step_size": 0.2}},
        e={"coding": {"load": 2, "assignment": "fixed"}},
    )
    assert names["a"].rule == "trimmed mean, rand k"
    assert (names["b"].variant, names["b"].load) == ("draco repetition", None)
    assert names["c"].rule == "trimmed mean, code cyclic (assignment random), step size 0.1"
    assert names["e"].rule == "trimmed mean, code cyclic (assignment fixed), step size 0.001"


def test_methods_that_no_spec_tells_apart_have_their_labels(write_run, tmp_path):
    write_run("a.h5", name="a")
    write_run("b.h5", name="b")
    collection = load_collection([tmp_path])
    rules = [one.rule for one in name_methods(collection.methods)]
    assert rules == ["trimmed mean", "trimmed mean, b"]
    assert load_families(collection) == []


def test_runs_of_other_packages_are_a_family_of_their_own(write_run, tmp_path):
    for version in ("0.2.0", "0.3.0"):
        for load in (1, 2):
            write_run(
                f"{version}-{load}.h5",
                name=f"d={load}",
                coding={"load": load},
                packages=[f"lad_mpi {version}"],
            )
    families = load_families(load_collection([tmp_path]))
    assert [(family.name, len(family.members)) for family in families] == [
        ("trimmed mean, lad mpi 0.2.0", 2),
        ("trimmed mean, lad mpi 0.3.0", 2),
    ]


def test_the_setting_of_runs_is_told_in_full():
    assert setting_of([method()]) == (
        "N = 10 devices, f = 2 of them Byzantine; attack: sign flip (scale −2); "
        "data: synthetic (heterogeneity 0.1); model: linear regression"
    )
    some = [
        method(devices={"count": count, "byzantine": count // 5}, attack={"kind": kind})
        for count, kind in ((10, "ipm"), (100, "zero"), (50, "ipm"))
    ]
    assert setting_of(some).startswith(
        "N = 10 to 100 devices, f = 2 to 20 of them Byzantine; attack: ipm or zero; data:"
    )


def test_of_a_file_the_name_is_told_and_a_missing_table_is_unknown():
    file = {"kind": "file", "path": "/home/someone/data/wine.csv"}
    assert "data: file (wine.csv)" in setting_of([method(data=file)])
    assert setting_of([{}]) == (
        "N = 0 devices, f = 0 of them Byzantine; attack: unknown; data: unknown; model: unknown"
    )


def test_labels_are_those_of_methods(study):
    collection = load_collection([study])
    assert all(isinstance(one.method, Method) for one in name_methods(collection.methods))
    assert [one.method for one in name_methods(collection.methods)] == list(collection.methods)


def test_long_lists_of_differences_become_brief_names_and_other_labels_stay(write_run, tmp_path):
    for place, kind in enumerate(("trimmed_mean", "centered_clipping")):
        for load in (1, 5):
            rule = {"kind": kind, "pre": [], "a_parameter_of_this_rule": place}
            write_run(f"{place}{load}.h5", name="run", coding={"load": load}, aggregation=rule)
    names = brief_labels(load_collection([tmp_path]).methods)
    assert all(len(label) > 40 and label.startswith("run (") for label in names)
    assert sorted(names.values()) == [
        "centered clipping, d = 1",
        "centered clipping, d = 5",
        "trimmed mean, d = 1",
        "trimmed mean, d = 5",
    ]


def test_a_long_name_that_somebody_chose_stays(write_run, tmp_path):
    write_run(name="W" * 80)
    write_run("b.h5", name="b", coding={"load": 5})
    names = brief_labels(load_collection([tmp_path]).methods)
    assert names == {"W" * 80: "W" * 80, "b": "b"}
