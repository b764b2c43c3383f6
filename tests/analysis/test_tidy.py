"""Tables of runs and iterations for other tools."""

import sys

import pandas as pd
import polars as pl
import pytest

from analysis.cli import main
from analysis.runs import load_collection


@pytest.fixture
def mixed(accuracies, write_run):
    """Complete runs, a failed one, and one that cannot be read."""
    write_run("failed.h5", name="=failed()", status="failed", coding={"kind": "draco_repetition"})
    (accuracies / "damaged.h5").write_bytes(b"no log")
    return accuracies


def test_parquet_is_read_by_pandas_and_polars(mixed, tmp_path, capsys):
    assert main(["export", str(mixed), "-o", str(tmp_path / "out")]) == 0
    assert "runs.parquet: 14 rows" in capsys.readouterr().out
    runs = pd.read_parquet(tmp_path / "out/runs.parquet")
    assert runs["status"].value_counts().to_dict() == {
        "complete": 12,
        "failed": 1,
        "unreadable": 1,
    }
    assert runs.loc[runs["status"] == "failed", "failure"].item() == "the disk is full"
    # A gap does not make floats of integers, nor whole floats integers.
    assert (runs["coding.load"].dtype, runs["final.loss"].dtype) == ("Int64", "float64")
    complete = runs[runs["status"] == "complete"].set_index("uuid")
    for run in load_collection([mixed]).runs:
        row = complete.loc[run.uuid]
        assert row["final.loss"] == run.final.metrics["loss"]
        assert row["coding.load"] == run.spec["coding"]["load"]
        assert row["aggregate_s"] == 0.5
    iterations = pl.read_parquet(tmp_path / "out/iterations.parquet")
    assert len(iterations) == 12 * 12 + 5
    joined = iterations.join(pl.read_parquet(tmp_path / "out/runs.parquet"), on="uuid")
    assert joined.group_by("coding.load").len().height == 5


def test_csv_holds_the_same_and_no_formula(mixed, tmp_path):
    for kind in ("csv", "parquet"):
        assert main(["export", str(mixed), "-o", str(tmp_path / "out"), "--format", kind]) == 0
    text = pd.read_csv(tmp_path / "out/runs.csv")
    exact = pd.read_parquet(tmp_path / "out/runs.parquet")
    pd.testing.assert_series_equal(
        text["final.loss"], exact["final.loss"], check_exact=True, check_dtype=False
    )
    assert "'=failed()" in set(text["name"])


def test_a_condition_selects_runs(mixed, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["export", str(mixed), "-o", out, "--where", "coding.load = 5"]) == 0
    # The damaged log stays, because nobody knows what it was.
    assert "runs.parquet: 4 rows" in capsys.readouterr().out
    assert main(["export", str(mixed), "-o", out, "--where", "coding.load = 7"]) == 2


def test_a_missing_package_is_named(mixed, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "analysis.tidy", raising=False)
    assert main(["export", str(mixed), "-o", str(tmp_path / "out")]) == 2
    assert "export needs pandas and PyArrow" in capsys.readouterr().err
