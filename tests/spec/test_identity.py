"""What makes two runs the same run, and what does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lad_mpi import __version__
from lad_mpi.spec import identify, identity_of, parse_spec, to_mapping

SMALL = {"data": {"dimension": 3}, "devices": {"count": 5, "byzantine": 1}}

LABELS = {
    "name": {"name": "another"},
    "flush_every": {"logging": {"flush_every": 7}},
    "swmr": {"logging": {"swmr": False}},
    "safety": {"safety": {"timeout_s": 1.0, "checkpoint_every": 3}},
}
TIMES = {
    "network": {"network": {"emulate": {"latency": "1us"}}},
    "warm-up": {"logging": {"warmup_iterations": 3}},
}
NUMBERS = {
    "compute": {"compute": "shared"},
    "batches": {"devices": {"count": 5, "byzantine": 1, "batch_size": 1}},
    "momentum": {"devices": {"count": 5, "byzantine": 1, "momentum": 0.5}},
    "model": {"model": {"l2": 0.1}},
    "optimizer": {"optimizer": {"kind": "adam"}},
    "schedule": {"optimizer": {"schedule": "cosine"}},
    "seed": {"seed": 2},
    "iterations": {"iterations": 7},
    "load": {"coding": {"load": 2}},
    "rule": {"aggregation": {"kind": "median"}},
    "dtype": {"backend": {"dtype": "float32"}},
    "evaluate_every": {"logging": {"evaluate_every": 5}},
    "byzantine": {"devices": {"count": 5, "byzantine": 2}},
}


def one(changes):
    return identify(parse_spec({**SMALL, **changes}))


@pytest.mark.parametrize("changes", LABELS.values(), ids=LABELS)
def test_labels_files_and_safeguards_make_no_other_run(changes):
    assert one(changes) == one({})
    assert one(changes).digest == one({}).digest


@pytest.mark.parametrize("changes", TIMES.values(), ids=TIMES)
def test_what_changes_the_meaning_of_times_makes_another_run_of_the_same_numbers(changes):
    assert one(changes).digest != one({}).digest
    assert one(changes).numbers_key() == one({}).numbers_key()


@pytest.mark.parametrize("changes", NUMBERS.values(), ids=NUMBERS)
def test_what_changes_numbers_makes_another_run(changes):
    assert one(changes).digest != one({}).digest
    assert one(changes).numbers_key() != one({}).numbers_key()


def test_how_messages_leave_a_gpu_changes_times_alone():
    staged = one({"backend": {"kind": "cupy", "gpu_transfers": "staged"}})
    direct = one({"backend": {"kind": "cupy", "gpu_transfers": "direct"}})
    assert staged.digest != direct.digest
    assert staged.numbers_key() == direct.numbers_key()


def test_a_key_can_be_left_out_of_what_runs_share():
    assert one({"seed": 2}).numbers_key("seed") == one({}).numbers_key("seed")


def test_a_log_has_the_identity_of_its_spec():
    spec = parse_spec(SMALL)
    now = identify(spec)
    assert identity_of(to_mapping(spec), "", now.packages) == now
    assert now.packages == (f"lad_mpi {__version__}",)


def test_differences_name_the_key_the_old_value_and_the_new_one():
    earlier = dataclasses.replace(
        one({"coding": {"load": 2}}), data_digest="sha256:1", packages=("lad_mpi 0.1.0",)
    )
    now = one({"network": {"emulate": {"latency": "1us"}}})
    assert now.differences(now) == []
    assert now.differences(earlier) == [
        "coding.load was 2 and is 1",
        'network.emulate.latency was not set and is "1us"',
        "data: the digest of the data was sha256:1 and is none",
        f"the packages were lad_mpi 0.1.0 and are lad_mpi {__version__}",
    ]


def data_spec(path):
    return parse_spec({**SMALL, "data": {"kind": "file", "path": str(path)}})


def test_data_are_identified_by_their_content_and_not_by_their_path(tmp_path):
    for name, factor in (("one.npz", 1.0), ("copy.npz", 1.0), ("other.npz", 2.0)):
        values = factor * np.arange(20.0).reshape(10, 2)
        np.savez(tmp_path / name, X=values, y=values[:, 0])
    names = ("one.npz", "copy.npz", "other.npz")
    one, copy, other = (identify(data_spec(tmp_path / name)) for name in names)
    assert one == copy
    assert one.data_digest != other.data_digest
    (tmp_path / "one.npz").write_bytes((tmp_path / "other.npz").read_bytes())
    now = identify(data_spec(tmp_path / "one.npz"))
    assert now.digest != one.digest
    changed = f"the digest of the data was {one.data_digest} and is {other.data_digest}"
    assert now.differences(one) == [f"data.path: {changed}"]
    assert other.differences(copy) == [
        f'data.path was "{tmp_path}/copy.npz" and is "{tmp_path}/other.npz"',
        f"data.path: {changed}",
    ]


def test_another_reading_of_the_same_file_is_told_by_its_key(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b,y\n1,2,3\n2,5,7\n3,1,2\n4,7,8\n6,2,9\n")
    first, last = (
        identify(
            parse_spec({**SMALL, "data": {"kind": "file", "path": str(path), "target": target}})
        )
        for target in ("b", "y")
    )
    assert last.differences(first) == [
        'data.target was "b" and is "y"',
        f"data.path: the digest of the data was {first.data_digest} and is {last.data_digest}",
    ]


def test_what_a_log_does_not_tell_is_called_unknown():
    now = one({})
    earlier = dataclasses.replace(now, data_digest=None)
    assert now.differences(earlier) == ["data: the digest of the data was unknown and is none"]


def test_data_of_another_package_need_no_key_of_that_name():
    mapping = {"data": {"kind": "images", "folder": "a"}}
    one, other = (identity_of(mapping, digest, ()) for digest in ("sha256:1", "sha256:2"))
    assert other.differences(one) == ["data: the digest of the data was sha256:1 and is sha256:2"]
