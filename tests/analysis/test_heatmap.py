"""Heat maps: what is in the cells, and which of them are as good as exact recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from analysis.cli import main
from analysis.heatmap import build_heatmap, describe_within, parse_margin
from analysis.quantities import parse_quantity
from analysis.runs import load_collection
from lad_mpi.errors import UsageError
from lad_mpi.types import Metric

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from analysis.heatmap import HeatMap

ACCURACY = Metric("test_accuracy", "1", "share of the test samples", "higher")
#: Final accuracies by f and load; load 10 is N, so it recovers the gradient exactly.
FINAL = {2: {1: 0.5, 5: 0.797, 10: 0.8}, 4: {1: 0.795, 2: 0.6, 5: 0.7, 10: 0.8}}


@pytest.fixture(scope="module")
def grid(write_shared: Callable[..., Path]) -> Path:
    """Two f, up to four loads and two seeds, whose accuracies differ by as much as some gaps."""
    for seed in (1, 2):
        for faults, finals in FINAL.items():
            for load, final in finals.items():
                path = write_shared(
                    f"{faults}-{load}-{seed}.h5",
                    seed=seed,
                    devices={"byzantine": faults},
                    coding={"load": load},
                    further={ACCURACY: [final + 0.02 * seed] * 13},
                )
    return path.parent


def built(*paths: Path, value: str = "test_accuracy", within: str = "", **keys: Any) -> HeatMap:
    collection = load_collection(paths)
    runs = collection.runs
    keys = {"rows": "devices.byzantine", "columns": "coding.load", **keys}
    return build_heatmap(
        runs,
        parse_quantity(value, runs),
        margin=parse_margin(within) if within else None,
        methods=collection.methods,
        **keys,
    )


def test_cells_are_medians_over_seeds_in_the_order_of_the_values(grid):
    heatmap = built(grid)
    assert (heatmap.panels, heatmap.rows) == (("",), ("2", "4"))
    assert heatmap.columns == ("1", "2", "5", "10")
    medians = {place: cell.median for place, cell in heatmap.cells.items()}
    assert medians == {
        ("", str(faults), str(load)): pytest.approx(final + 0.03)
        for faults, finals in FINAL.items()
        for load, final in finals.items()
    }
    assert ("", "2", "2") not in heatmap.cells


def test_panels_have_the_same_rows_and_columns(grid, write_run):
    wine = {"data": {"kind": "wine"}, "coding": {"load": 3}, "devices": {"byzantine": 3}}
    heatmap = built(grid, write_run(**wine), value="loss", panels="data.kind")
    assert heatmap.panels == ("synthetic", "wine")
    assert (heatmap.rows, heatmap.columns) == (("2", "3", "4"), ("1", "2", "3", "5", "10"))
    assert [place for place in heatmap.cells if place[0] == "wine"] == [("wine", "3", "3")]


@pytest.mark.parametrize(
    ("margin", "near"),
    [
        ("1%", {("2", "5"), ("2", "10"), ("4", "1"), ("4", "10")}),
        ("0.004", {("2", "5"), ("2", "10"), ("4", "10")}),
        ("0%", {("2", "10"), ("4", "10")}),
        ("13%", {("2", "5"), ("2", "10"), ("4", "1"), ("4", "5"), ("4", "10")}),
    ],
)
def test_gaps_are_relative_or_differences_seed_by_seed(grid, margin, near):
    heatmap = built(grid, within=margin)
    assert heatmap.within is not None
    assert {place[1:] for place in heatmap.cells if heatmap.within.holds(place)} == near
    gap = heatmap.within.gaps["", "4", "5"]
    relative = [0.1 / 0.82, 0.1 / 0.84] if "%" in margin else [0.1, 0.1]
    assert (gap.low, gap.high) == pytest.approx((min(relative), max(relative)))


def test_lower_is_better_for_a_loss(write_run, tmp_path):
    for load, loss in ((1, 1.02), (2, 1.005), (5, 0.5), (10, 1.0)):
        write_run(f"{load}.h5", coding={"load": load}, final_loss=loss)
    heatmap = built(tmp_path, value="loss", within="1%")
    assert heatmap.within is not None
    near = [place[2] for place in heatmap.cells if heatmap.within.holds(place)]
    assert sorted(near, key=int) == ["2", "5", "10"]


def test_the_text_says_from_which_load_on(grid):
    assert describe_within(built(grid)) == []
    title, first, second = describe_within(built(grid, within="1%"))
    assert title.startswith("Test accuracy within 1 % of exact recovery.")
    assert first == "  devices.byzantine = 2: from coding.load = 5 on (gap 0.36 (0.36 … 0.37) %)"
    # Load 1 happens to be near. That is no reason to say "from load 1 on".
    assert second == ("  devices.byzantine = 4: from coding.load = 10 on (itself exact); also at 1")


def test_the_text_follows_the_loads_if_they_are_the_rows(grid):
    heatmap = built(grid, within="1%", rows="coding.load", columns="devices.byzantine")
    assert describe_within(heatmap)[1:] == describe_within(built(grid, within="1%"))[1:]


def test_the_text_lists_values_of_a_key_that_is_no_load(grid):
    collection = load_collection([grid])
    runs = [run for run in collection.runs if run.spec["coding"]["load"] == 5]
    heatmap = build_heatmap(
        runs, parse_quantity("test_accuracy", runs), rows="coding.load",
        columns="devices.byzantine", panels="aggregation", margin=parse_margin("1%"),
        methods=collection.methods,
    )  # fmt: skip
    near, far = describe_within(heatmap)[1:]
    name = "  aggregation = trimmed_mean, devices.byzantine"
    assert near == f"{name} = 2: from coding.load = 5 on (gap 0.36 (0.36 … 0.37) %)"
    assert far == f"{name} = 4: at no coding.load; the nearest is 5, gap 12 (12 … 12) %"
    heatmap = build_heatmap(
        runs, parse_quantity("test_accuracy", runs), rows="aggregation",
        columns="devices.byzantine", margin=parse_margin("1%"), methods=collection.methods,
    )  # fmt: skip
    assert describe_within(heatmap)[1:] == ["  aggregation = trimmed_mean: at 2"]


def test_runs_without_an_exact_method_of_their_settings_are_told(grid, write_run):
    wine = write_run(data={"kind": "wine"}, devices={"byzantine": 3})
    heatmap = built(grid, wine, value="loss", within="1%", panels="data.kind")
    assert heatmap.within is not None
    assert ("wine", "3", "2") not in heatmap.within.gaps
    assert (
        "  data.kind = wine, devices.byzantine = 3: no exact method has the same settings and seeds"
        in describe_within(heatmap)
    )


def test_without_any_exact_method_the_message_names_what_to_run(write_run, tmp_path):
    for load in (1, 5):
        write_run(f"{load}.h5", coding={"load": load})
    with pytest.raises(UsageError, match="no exact method among these logs") as caught:
        built(tmp_path, value="loss", within="1%")
    assert "coding.load = N" in str(caught.value)


def test_the_exact_method_may_be_outside_the_condition(grid, tmp_path, capsys):
    output = tmp_path / "a.png"
    command = ["heatmap", str(grid), "--rows", "devices.byzantine", "--columns", "coding.load"]
    where = ["--where", "coding.load<10 and devices.byzantine=2", "--within", "1%"]
    assert main([*command, *where, "-o", str(output)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("  devices.byzantine = 2: from coding.load = 5 on")
    assert printed[-1] == str(output)
    assert "Test accuracy by devices.byzantine and coding.load. Medians over 2 seeds." in printed[2]


@pytest.mark.parametrize("text", ["", "%", "near", "-1%", "nan", "inf%"])
def test_a_margin_is_a_number(text):
    with pytest.raises(UsageError, match="expected a number"):
        parse_margin(text)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--rows", "devices.byzantin"], "did you mean 'devices.byzantine'"),
        (["--panels", "coding.loads"], "did you mean 'coding.load'"),
        (["--value", "test_acuracy"], "did you mean 'test_accuracy'"),
        (["--columns", "devices.byzantine"], "need different keys"),
        (["--columns", "seed"], "runs of one cell differ in coding.load"),
        (["--where", "coding.load=7"], "coding.load is 1, 2, 5, 10"),
        (["--within", "near"], "expected a number"),
        (["--value", "beta_squared", "--within", "1%"], "neither direction"),
        (["--format", "svg"], "out.png is png, not svg"),
    ],
)
def test_mistakes_are_told(grid, capsys, tmp_path, options, expected):
    output = tmp_path / "out.png"
    usual = ["--rows", "devices.byzantine", "--columns", "coding.load", "-o", str(output)]
    assert main(["heatmap", str(grid), *usual, *options]) == 2
    assert expected in capsys.readouterr().err
    assert not output.exists()


def test_a_damaged_log_is_named_and_the_rest_is_shown(grid, capsys, tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"no log")
    (tmp_path / "\x1b[31m.h5").write_bytes(b"no log")
    output = tmp_path / "a.svg"
    command = [
        "heatmap",
        str(grid),
        str(tmp_path),
        "--rows",
        "devices.byzantine",
        "--columns",
        "coding.load",
    ]
    assert main([*command, "-o", str(output)]) == 0
    said = capsys.readouterr().err
    assert "bad.h5" in said
    assert "\x1b" not in said
    assert output.read_bytes().startswith(b"<?xml")


def test_too_many_values_are_refused(write_run, tmp_path):
    for place in range(25):
        write_run(f"{place}.h5", optimizer={"step_size": 1.0 + place})
    with pytest.raises(UsageError, match=r"step_size has 25 values, .* room for 24"):
        built(tmp_path, value="loss", panels="optimizer.step_size")
    assert len(built(tmp_path, value="loss", rows="optimizer.step_size").rows) == 25


def test_a_gap_from_nothing_is_infinite_or_none(write_run, tmp_path):
    for load, loss in ((1, 0.0), (2, 1.0), (10, 0.0)):
        write_run(f"{load}.h5", coding={"load": load}, final_loss=loss)
    heatmap = built(tmp_path, value="loss", within="1%")
    assert heatmap.within is not None
    gaps = {place[2]: gap.median for place, gap in heatmap.within.gaps.items()}
    assert gaps == {"1": 0.0, "2": np.inf, "10": 0.0}
