"""The ranking of methods by the cost of a target."""

import json
import math

import numpy as np
import pytest

from analysis.cheapest import COSTS, find_cheapest
from analysis.cli import main
from analysis.runs import load_collection
from analysis.target import find_target

from .conftest import ACCURACY, ITERATIONS


@pytest.fixture
def raced(tmp_path, write_run):
    """Methods that reach 0.5 after 3 or 6 iterations, in half of the seeds, or never."""
    for seed in range(1, 8):
        for name, first, load in (("early", 3, 5), ("late", 6, 2), ("never", 99, 1)):
            values = np.where(np.arange(ITERATIONS + 1) >= first, 0.9, 0.1)
            write_run(
                f"{name}-{seed}.h5",
                name=name,
                seed=seed,
                coding={"load": load},
                clock=clock_of(0.010 if load == 5 else 0.004 + 0.0001 * seed),
                further={ACCURACY: values.tolist()},
            )
        values = np.where(np.arange(ITERATIONS + 1) >= 3, 0.9 if seed <= 4 else 0.2, 0.1)
        write_run(
            f"some-{seed}.h5",
            name="some",
            seed=seed,
            coding={"load": 3},
            clock=clock_of(0.010),
            further={ACCURACY: values.tolist()},
        )
    return tmp_path / "study"


def clock_of(seconds):
    def clock(rows, ranks):
        table = np.full((rows, ranks, 5), np.nan)
        table[:, 0] = [0, np.nan, 0, seconds, 0]
        table[:, 1:, :3] = 0
        return table

    return clock


@pytest.fixture
def found(raced):
    collection = load_collection([raced])
    target = find_target("test_accuracy=0.5", collection.runs)
    return {by: {one.label: one for one in find_cheapest(collection, target, by)} for by in COSTS}


def test_the_order_depends_on_the_cost(found):
    assert list(found["iterations"]) == ["early", "some", "late", "never"]
    assert list(found["seconds"]) == ["late", "early", "some", "never"]
    assert found["seconds"]["late"].costs["seconds"].median == pytest.approx(6 * 0.0044)
    assert found["gradients"]["early"].costs["gradients"].median == 3 * 10 * 5


def test_overlapping_intervals_are_ties(found):
    ranks = {label: one.rank for label, one in found["iterations"].items()}
    # Three of seven seeds of "some" never reach it, so its interval has no end.
    assert ranks == {"early": 1, "some": 1, "late": 2, "never": None}
    assert found["iterations"]["some"].costs["iterations"].high == math.inf
    assert (found["iterations"]["some"].reached, found["iterations"]["some"].seeds) == (4, 7)


def test_the_table_names_those_that_never_get_there(raced, capsys):
    assert main(["cheapest", str(raced), "--target", "test_accuracy=0.5"]) == 0
    shown = capsys.readouterr().out
    ranking, rest = shown.split("Not reached")
    assert "never" not in ranking.split("early")[0]
    assert "never" in rest
    assert "0 of 7" in rest


def test_json_and_csv_hold_the_ranking(raced, capsys):
    arguments = ["cheapest", str(raced), "--target", "test_accuracy=0.5", "--by", "uplink_bytes"]
    assert main([*arguments, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert [record["method"] for record in records] == ["early", "some", "late", "never"]
    assert records[-1]["uplink_bytes_median"] is None
    assert main([*arguments, "--csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 5


def test_a_metric_that_no_log_has(raced, capsys):
    assert main(["cheapest", str(raced), "--target", "test_acuracy=0.5"]) == 2
    assert "did you mean 'test_accuracy'" in capsys.readouterr().err
