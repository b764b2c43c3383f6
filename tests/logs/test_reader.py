"""Logs are found, are readable by xarray, and are refused with a reason if invalid."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
import tomli_w

from lad_mpi.errors import LogFormatError, UsageError
from lad_mpi.logs import (
    STEP_METRICS,
    VERSION,
    contents,
    find_logs,
    read_head,
    read_log,
    validate_log,
)
from lad_mpi.logs.schema import REASONS
from lad_mpi.types import Metric


def test_xarray_reads_labelled_data_without_our_code(complete_log):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    log = read_log(complete_log)
    with xarray.open_dataset(complete_log, engine="h5netcdf", group="metrics") as metrics:
        assert dict(metrics.sizes) == {"iteration": 5, "reason": len(REASONS)}
        assert metrics["refusals"].dims == ("iteration", "reason")
        refused = metrics["refusals"].sel(reason="checksum")
        np.testing.assert_array_equal(refused, log.refusals["checksum"])
        np.testing.assert_array_equal(metrics["iteration"], np.arange(5))
        np.testing.assert_array_equal(metrics["loss"], log.metrics["loss"])
        assert metrics["decoder_status"].attrs["flag_meanings"] == "not_used exact failed"
        np.testing.assert_array_equal(metrics["decoder_status"].attrs["flag_values"], [0, 1, 2])
    with xarray.open_dataset(complete_log, engine="h5netcdf", group="timing") as timing:
        assert timing["seconds"].dims == ("iteration", "rank", "phase")
        assert timing["seconds"].dtype == np.float64
        assert timing["seconds"].attrs["units"] == "s"
        chosen = timing["seconds"].sel(rank=2, phase="compute")
        np.testing.assert_array_equal(chosen, log.seconds[:, 2, 1])
    with xarray.open_dataset(complete_log, engine="h5netcdf", group="state") as final:
        assert final["model"].dims == ("parameter",)
    with xarray.open_dataset(complete_log, engine="h5netcdf") as root:
        assert root.attrs["status"] == "complete"


def test_logs_are_found_in_folders(tmp_path, open_writer):
    for name in ("b/2.h5", "b/1.h5", "a.h5", "other.log"):
        with open_writer(tmp_path / name) as writer:
            writer.finish("interrupted")
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    expected = ["a.h5", "b/1.h5", "b/2.h5", "damaged.h5"]
    assert find_logs([tmp_path]) == [tmp_path / name for name in expected]
    named = [tmp_path / "other.log", tmp_path / "b", tmp_path / "b" / "1.h5"]
    assert find_logs(named) == [tmp_path / n for n in ("b/1.h5", "b/2.h5", "other.log")]
    with pytest.raises(UsageError, match="nowhere does not exist"):
        find_logs([tmp_path / "nowhere"])


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_log(tmp_path / "nowhere.h5")
    with pytest.raises(UsageError, match="is not a regular file"):
        read_log(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("loss 0.1234\n")
    with pytest.raises(LogFormatError, match="is not an HDF5 file"):
        read_log(text)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    with pytest.raises(LogFormatError, match="not a log of lad_mpi"):
        read_log(foreign)


def test_a_newer_version_is_refused_by_number(complete_log):
    with h5py.File(complete_log, "r+") as file:
        file.attrs["format_version"] = VERSION + 1
    with pytest.raises(
        LogFormatError, match=f"log version {VERSION + 1}; .* reads versions 2 and {VERSION}"
    ):
        read_log(complete_log)
    with h5py.File(complete_log, "r+") as file:
        del file.attrs["format_version"]
    with pytest.raises(LogFormatError, match="format_version"):
        read_log(complete_log)


def test_an_older_version_is_refused_by_number(complete_log):
    with h5py.File(complete_log, "r+") as file:
        file.attrs["format_version"] = 1
    with pytest.raises(LogFormatError, match="log version 1; this release reads versions 2 and 3"):
        read_log(complete_log)


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1, 0.001, 0])
def test_a_truncated_log_is_refused(complete_log, kept):
    whole = complete_log.read_bytes()
    complete_log.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(LogFormatError, match=r"complete\.h5"):
        read_log(complete_log)


def test_a_growing_log_that_is_cut_short_is_refused(tmp_path, open_writer, block):
    with open_writer(tmp_path / "run.h5") as writer:
        writer.append(block(0, 5))
        whole = (tmp_path / "run.h5").read_bytes()
        writer.finish("interrupted")
    (tmp_path / "copy.h5").write_bytes(whole)
    assert len(read_log(tmp_path / "copy.h5").iteration) == 5
    (tmp_path / "copy.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogFormatError, match=r"copy\.h5"):
        read_log(tmp_path / "copy.h5")


@pytest.mark.parametrize(
    "missing", ["metrics/loss", "timing/seconds", "timing/iteration", "traffic", "state/model"]
)
def test_a_log_with_a_hole_is_refused_by_name(complete_log, missing):
    with h5py.File(complete_log, "r+") as file:
        del file[missing]
    with pytest.raises(LogFormatError, match=missing.rsplit("/", 1)[-1]):
        read_log(complete_log)


def test_datasets_of_an_ended_log_have_equal_lengths(complete_log):
    with h5py.File(complete_log, "r+") as file:
        file["metrics/loss"].resize(4, axis=0)
    with pytest.raises(LogFormatError, match="differ in length"):
        read_log(complete_log)


def test_complete_rows_of_a_growing_log_are_read(complete_log):
    with h5py.File(complete_log, "r+") as file:
        file.attrs["status"] = "running"
        file["metrics/loss"].resize(4, axis=0)
        file["timing/iteration"][3] = -1
    log = read_log(complete_log)
    assert len(log.iteration) == len(log.seconds) == len(log.traffic["uplink_bytes"]) == 3


def test_the_head_agrees_with_the_whole_log(complete_log, tmp_path, open_writer, block):
    with open_writer(tmp_path / "part.h5") as writer:
        writer.append(block(0, 3))
        writer.finish("interrupted", failure="time is up")
    for path in (complete_log, tmp_path / "part.h5"):
        head, log = read_head(path), read_log(path)
        for field in dataclasses.fields(head):
            assert getattr(head, field.name) == getattr(log, field.name)
        assert head.recorded == len(log.iteration)


def test_a_log_of_version_2_is_read_and_says_what_is_unknown(tmp_path):
    packed = Path(__file__).parent / "data" / "version-2.h5.gz"
    path = tmp_path / "version-2.h5"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    assert validate_log(path) == []
    log = read_log(path)
    assert (log.format_version, log.status, log.names) == (2, "complete", ("LAD of 0.1",))
    assert log.data_digest is None
    assert log.packages == ("lad_mpi 0.1.0",)
    # It was begun in one process and resumed on three ranks.
    assert [(one.first, one.stop, one.ranks) for one in log.launches] == [(0, 4, 1), (4, 12, 3)]
    assert log.metric_info["loss"].better == "lower"
    assert log.spec["data"] == {
        "kind": "synthetic", "dimension": 3, "samples_per_subset": 1, "heterogeneity": 0.1,
    }  # fmt: skip
    assert log.spec["model"] == {"kind": "linear_regression"}
    assert "problem" not in log.spec
    assert "[problem]" in log.spec_toml
    assert log.final.metrics["loss"] == pytest.approx(17.0188, abs=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(~log.is_warm()), [0, 1, 4, 5])


@pytest.mark.parametrize(
    ("problem", "data", "model"),
    [
        ({"dimension": 9, "standardize": True}, {"kind": "synthetic", "dimension": 9}, None),
        (
            {"kind": "linear_regression", "data": "diabetes", "partition": "sorted"},
            {"kind": "diabetes", "partition": "sorted"},
            None,
        ),
        (
            {"data": "a.csv", "target": "y", "intercept": False},
            {"kind": "file", "path": "a.csv", "target": "y", "intercept": False},
            None,
        ),
        (
            {"kind": "quadratic", "data": 3},
            {"kind": "quadratic", "data": 3},
            "quadratic",
        ),
    ],
    ids=["synthetic", "diabetes", "a file", "another package"],
)
def test_the_problem_of_an_old_spec_becomes_data_and_a_model(problem, data, model):
    old = {"seed": 1, "iterations": 2, "problem": problem, "devices": {"count": 5}}
    new = contents.parse_spec(tomli_w.dumps(old))
    assert new == {
        "seed": 1,
        "iterations": 2,
        "data": data,
        "model": {"kind": model or "linear_regression"},
        "devices": {"count": 5},
    }
    assert contents.parse_spec(tomli_w.dumps(new)) == new


def test_metrics_are_an_open_set_and_say_which_way_is_better(tmp_path, open_writer, block, state):
    path = tmp_path / "run.h5"
    accuracy = Metric("test_accuracy", "1", "share of test samples classified rightly", "higher")
    with open_writer(path, metrics=(*STEP_METRICS, accuracy)) as writer:
        rows = block(0, 5)
        values = np.linspace(0.1, 0.9, 5)
        writer.append(dataclasses.replace(rows, metrics={**rows.metrics, "test_accuracy": values}))
        final = {**state.metrics, "test_accuracy": 0.95}
        writer.finish("complete", state=dataclasses.replace(state, metrics=final))
    log = read_log(path)
    assert validate_log(path) == []
    np.testing.assert_array_equal(log.metrics["test_accuracy"], values)
    assert log.metric_info["test_accuracy"] == accuracy
    assert log.final.metrics["test_accuracy"] == 0.95


@pytest.mark.parametrize("value", [h5py.Empty("f8"), 3, "text"], ids=["empty", "a number", "text"])
def test_a_dataset_of_another_kind_is_named_as_damage_and_raises_nothing_else(complete_log, value):
    """Whatever a file contains, the user gets a message."""
    whole = complete_log.read_bytes()
    names = []
    with h5py.File(complete_log) as file:
        file.visititems(lambda name, item: names.append(name))
    required = {"metrics/iteration", "metrics/refusals", "metrics/reason", "timing/seconds"}
    required |= {"timing/phase", "timing/rank", "traffic/uplink_bytes", "state/model"}
    assert required < set(names)
    for name in names:
        complete_log.write_bytes(whole)
        with h5py.File(complete_log, "r+") as file:
            del file[name]
            file.create_dataset(name, data=value)
        with contextlib.suppress(LogFormatError):
            read_log(complete_log)
        # Other datasets are optional, and a number may be replaced by another number.
        assert validate_log(complete_log) or name not in required, name


@pytest.mark.parametrize("value", [h5py.Empty("f8"), 3, [1, 2]], ids=["empty", "a number", "many"])
def test_an_attribute_of_another_kind_raises_nothing_but_damage(complete_log, value):
    whole = complete_log.read_bytes()
    with h5py.File(complete_log) as file:
        keys = [("/", key) for key in file.attrs]
        keys += [("timing/seconds", key) for key in ("training_phases", "warmup_iterations")]
    for place, key in keys:
        complete_log.write_bytes(whole)
        with h5py.File(complete_log, "r+") as file:
            file[place].attrs[key] = value
        with contextlib.suppress(LogFormatError):
            read_log(complete_log)
        validate_log(complete_log)
        assert find_logs([complete_log.parent]) in ([complete_log], [])


def test_a_folder_that_cannot_be_searched_is_named(group_folder, as_user):
    (group_folder / "closed").mkdir(mode=0o700)

    def searched():
        with pytest.raises(UsageError, match="closed cannot be searched: Permission denied"):
            find_logs([group_folder])
        with pytest.raises(UsageError, match=r"x\.h5 cannot be read: Permission denied"):
            read_log(group_folder / "closed" / "x.h5")

    as_user(64991, 0o022, searched)
