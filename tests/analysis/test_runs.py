"""Logs become methods, and none is lost on the way."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import pytest

from analysis.methods import final_loss
from analysis.runs import load_collection, natural_key
from analysis.summary import summarise
from lad_mpi.errors import UsageError

VERSION_2 = Path(__file__).parents[1] / "logs" / "data" / "version-2.h5.gz"


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
    write_run("c.h5", devices={"byzantine": 1}, coding={"kind": "draco_repetition"})
    write_run("d.h5", name="other")
    collection = load_collection([tmp_path])
    assert {method.label for method in collection.methods} == {
        "LAD d=2 (assignment=random, kind=cyclic, load=2, byzantine=2, step_size=0.001)",
        "LAD d=2 (assignment=random, kind=cyclic, load=2, byzantine=2, step_size=0.01)",
        "LAD d=2 (assignment=none, kind=draco_repetition, load=none, byzantine=1, step_size=0.001)",
        "other",
    }
    differ, same = collection.notes
    assert differ == (
        "LAD d=2: 3 rows, because the runs differ in coding.assignment, "
        "coding.kind, coding.load, devices.byzantine, optimizer.step_size."
    )
    # Names may differ where nothing else does.
    assert same.endswith("byzantine=2, step_size=0.001) and other.")


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"provenance": {"git_revision": "b" * 40}}, {"revision=aaaaaaaa", "revision=bbbbbbbb"}),
        (
            {"provenance": {"git_revision": "a" * 40, "git_dirty": True}},
            {"revision=aaaaaaaa", "revision=aaaaaaaa+"},
        ),
        ({"data_digest": "sha256:" + "c" * 64}, {"data=dddddddd", "data=cccccccc"}),
        ({"packages": ["lad_mpi 0.3.0"]}, {"lad_mpi=0.2.0", "lad_mpi=0.3.0"}),
        ({"packages": ["lad_mpi 0.2.0", "rules 1.0"]}, {"rules=none", "rules=1.0"}),
    ],
)
def test_runs_of_another_origin_share_no_number(write_run, tmp_path, change, facts):
    original = {"provenance": {"git_revision": "a" * 40}, "data_digest": "sha256:" + "d" * 64}
    for seed in (1, 2):
        write_run(f"before/{seed}.h5", seed=seed, **original)
        write_run(f"after/{seed}.h5", seed=seed, **{**original, **change}, final_loss=100.0)
    collection = load_collection([tmp_path])
    assert {method.label for method in collection.methods} == {f"LAD d=2 ({f})" for f in facts}
    losses = [{final_loss(run) for run in method.runs} for method in collection.methods]
    assert {100.0} in losses
    assert len(losses[0] & losses[1]) == 0
    (differs,) = {fact.partition("=")[0] for fact in facts}
    assert any(f"differ in {differs}." in note for note in collection.notes)
    uncommitted = any("uncommitted changes" in note for note in collection.doubts)
    assert uncommitted == ("git_dirty" in change.get("provenance", {}))


def test_shared_gradients_have_other_bits_and_are_a_method_of_their_own(write_run, tmp_path):
    write_run("a.h5", compute="faithful")
    write_run("b.h5", compute="shared")
    collection = load_collection([tmp_path])
    labels = [method.label for method in collection.methods]
    assert labels == ["LAD d=2 (compute=faithful)", "LAD d=2 (compute=shared)"]
    assert [method.shared_compute for method in collection.methods] == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"safety": {"timeout_s": 5.0}},
        {"logging": {"flush_every": 3}},
        {"logging": {"swmr": False}},
        {"name": "renamed"},
    ],
)
def test_what_changes_no_number_splits_no_method(write_run, tmp_path, change):
    write_run("a.h5", seed=1)
    write_run("b.h5", seed=2, **change)
    (method,) = load_collection([tmp_path]).methods
    assert list(method.by_seed) == [1, 2]
    assert method.label == ("LAD d=2 / renamed" if "name" in change else "LAD d=2")
    (timing,) = method.timings
    assert len(timing.launches) == 2


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"ranks": 2}, ["ranks=2", "ranks=3"]),
        ({"provenance": {"server_ranks": 2}}, ["servers=1", "servers=2"]),
        ({"network": {"emulate": {"latency": "1ms"}}}, ["network=latency=1ms", "network=real"]),
        (
            {"provenance": {"gpu_transfers": "staged"}, "backend": {"gpu_transfers": "staged"}},
            ["gpu_transfers=none", "gpu_transfers=staged"],
        ),
        ({"provenance": {"cpu_model": "new"}}, ["machine=new", "machine=unknown"]),
        ({"provenance": {"hosts": ["a", "b", "c"]}}, ["hosts=1", "hosts=3"]),
        ({"provenance": {"blas_threads": ["4", "4"]}}, ["threads=4", "threads=unknown"]),
        ({"provenance": {"oversubscribed": True}}, ["oversubscribed=no", "oversubscribed=yes"]),
        ({"ranks": 2, "provenance": {"oversubscribed": True}}, ["ranks=2", "ranks=3"]),
    ],
)
def test_what_changes_times_only_is_pooled_in_errors_and_apart_in_times(
    write_run, tmp_path, change, facts
):
    write_run("a.h5", seed=1, provenance={"hosts": ["a", "a", "a"]})
    change = {**change, "provenance": {"hosts": ["a"], **change.get("provenance", {})}}
    write_run("b.h5", seed=2, **change)
    (method,) = load_collection([tmp_path]).methods
    assert method.label == "LAD d=2"
    assert list(method.by_seed) == [1, 2]
    assert sorted(timing.label for timing in method.timings) == [
        f"LAD d=2 ({fact})" for fact in facts
    ]


def test_warm_up_is_no_part_of_what_times_mean(write_run, tmp_path):
    write_run("a.h5", seed=1)
    write_run("b.h5", seed=2, logging={"warmup_iterations": 5})
    (method,) = load_collection([tmp_path]).methods
    assert len(method.timings) == 1


def test_one_run_of_two_cases_is_shown_under_both_names(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed, names=["baseline", "LAD d=1"])
    collection = load_collection([tmp_path])
    assert [method.label for method in collection.methods] == ["baseline", "LAD d=1"]
    assert all(list(method.by_seed) == [1, 2] for method in collection.methods)
    assert len(collection.runs) == 2
    assert collection.notes == (
        "the same errors, because nothing that changes numbers differs: baseline and LAD d=1.",
    )


def test_names_of_networks_share_errors_and_keep_their_times(write_run, tmp_path):
    for latency in ("1ms", "5ms"):
        for seed in (1, 2):
            write_run(
                f"{latency}-{seed}.h5",
                seed=seed,
                name=f"LAD {latency}",
                network={"emulate": {"latency": latency}},
            )
    first, second = load_collection([tmp_path]).methods
    assert [first.label, second.label] == ["LAD 1ms", "LAD 5ms"]
    for method, network in ((first, "latency=1ms"), (second, "latency=5ms")):
        assert len(method.runs) == 4
        (timing,) = method.timings
        assert (timing.label, timing.conditions.emulated_network) == (method.label, network)
        assert {run.emulated_network for run in method.by_seed.values()} == {network}


def test_times_under_a_joint_name_are_told_apart(write_run, tmp_path):
    write_run("a.h5", seed=1, name="one")
    write_run("b.h5", seed=2, name="two", provenance={"server_ranks": 2})
    (method,) = load_collection([tmp_path]).methods
    assert method.label == "one / two"
    assert [timing.label for timing in method.timings] == [
        "one / two (servers=1)",
        "one / two (servers=2)",
    ]


def test_a_run_counts_once_however_often_its_log_was_copied(write_run, tmp_path):
    path = write_run("a.h5")
    write_run("b.h5", seed=2)
    for number in range(3):
        copy = tmp_path / "copies" / f"{number}.h5"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "copies" / "link.h5").symlink_to(path)
    (tmp_path / "copies" / "hard.h5").hardlink_to(path)
    collection = load_collection([tmp_path])
    (method,) = collection.methods
    assert len(method.runs) == 2
    assert len(collection.excluded) == 5
    assert len({line.partition("a copy of ")[2] for line in collection.describe_excluded()}) == 1
    (row,) = summarise(collection)
    assert (row.runs, row.times[0].launches, row.times[0].seconds.coverage) == (2, 2, None)


def test_of_copies_the_most_complete_counts(write_run, tmp_path):
    early = write_run("z.h5", launches=[(3, 5)], status="interrupted")
    kept = tmp_path / "study" / "a.h5"
    kept.write_bytes(early.read_bytes())
    early.unlink()
    whole = write_run("z.h5", launches=[(3, 5), (3, 12)])
    # The run that went on has the id of the run that was interrupted.
    with h5py.File(whole, "r+") as file, h5py.File(kept) as other:
        file.attrs["uuid"] = other.attrs["uuid"]
    collection = load_collection([tmp_path])
    assert [run.path for run in collection.runs] == [whole]
    assert collection.describe_excluded() == [f"{kept}: LAD d=2, seed 1: a copy of {whole}"]


def test_times_belong_to_a_launch(write_run, tmp_path):
    write_run("a.h5", launches=[(3, 6), (1, 12)])
    (method,) = load_collection([tmp_path]).methods
    assert [
        (
            timing.label,
            timing.conditions.ranks,
            [(part.first, part.stop) for _, part in timing.launches],
        )
        for timing in method.timings
    ] == [("LAD d=2 (ranks=1)", 1, [(6, 12)]), ("LAD d=2 (ranks=3)", 3, [(0, 6)])]
    assert all(timing.whole_runs == [] for timing in method.timings)


def test_what_logs_of_format_2_do_not_tell_is_said(tmp_path, write_run):
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress(VERSION_2.read_bytes()))
    write_run("new.h5")
    collection = load_collection([tmp_path])
    (old,) = (method for method in collection.methods if method.origin.data_digest is None)
    assert (
        "the data are unknown, because logs of format 2 do not record them: "
        f"{old.label}." in collection.doubts
    )


def test_runs_of_a_seed_that_disagree_are_named(write_run, tmp_path):
    write_run("a.h5", final_loss=1.0)
    write_run("b.h5", final_loss=2.0)
    (note,) = load_collection([tmp_path]).doubts
    assert note.startswith("LAD d=2, seed 1: a.h5 ends at the loss 1, b.h5 at 2;")


def test_labels_are_unique_whatever_names_people_give(write_run, tmp_path):
    write_run("a.h5")
    write_run("b.h5", optimizer={"step_size": 0.01})
    write_run("c.h5", name="LAD d=2 (step_size=0.01)")
    labels = [method.label for method in load_collection([tmp_path]).methods]
    assert sorted(labels) == [
        "LAD d=2 (step_size=0.001)",
        "LAD d=2 (step_size=0.01)",
        "LAD d=2 (step_size=0.01) #2",
    ]


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
    folder = tmp_path / "study"
    damaged, failed, stopped = collection.describe_excluded()
    assert damaged.startswith(f"{folder}/damaged.h5: unknown: ")
    assert failed == f"{folder}/failed.h5: LAD d=2, seed 3: the disk is full (5 of 12 iterations)"
    assert stopped == f"{folder}/stopped.h5: other, seed 1: interrupted (5 of 12 iterations)"


def test_without_a_complete_run_there_is_nothing_to_show(write_run, tmp_path):
    with pytest.raises(UsageError, match="no logs in"):
        load_collection([tmp_path])
    write_run("failed.h5", status="failed")
    with pytest.raises(UsageError, match=r"none of 1 logs .*\n.*the disk is full"):
        load_collection([tmp_path])


def test_names_sort_as_people_count():
    names = ["d=10", "D=9", "CWTM", "d=2b", "d=2", "10", "", "Q=10²", "Q=10", "_x", "d=٣"]
    ordered = ["", "10", "_x", "CWTM", "d=2", "d=2b", "D=9", "d=10", "d=٣", "Q=10", "Q=10²"]
    assert sorted(names, key=natural_key) == ordered
