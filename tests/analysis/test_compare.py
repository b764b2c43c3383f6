"""Two folders of logs: what became better or worse, and what cannot be said."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from analysis.cli import main
from analysis.compare import Verdict, compare
from analysis.compare.replicates import Block
from analysis.compare.significance import LEVEL, Sample, adjusted_p, change_of_mean
from analysis.compare.verdicts import judge
from analysis.quantities import Quantity
from analysis.runs import load_collection
from lad_mpi.types import Metric

#: Column of the phase in the logs of the fixture.
AGGREGATE = 3
MACHINE = {"cpu_model": "EPYC", "hosts": ["n1"], "git_revision": "a" * 40, "git_dirty": False}
ACCURACY = Metric("test_accuracy", "1", "share of the test samples", "higher")


@pytest.fixture
def sides(tmp_path, write_run):
    """Write the launches of a method into study/before and study/after, with noisy clocks."""
    rng = np.random.default_rng(3)

    def write(side, launches=5, *, seeds=(1,), slower=1.0, noise=0.02, processes=False, **changes):
        machine = MACHINE | changes.pop("provenance", {})
        for launch in range(launches):
            level = np.exp(noise * rng.standard_t(3, size=3))

            def clock(rows, ranks, level=level):
                server = np.array([0.01, np.nan, 1.5, 0.5 * level[0] * slower, 2.0])
                devices = np.array([1.4, level[1], 0.1, np.nan, np.nan])
                table = np.stack([server, *[devices] * (ranks - 1)]) * level[2]
                return table * np.exp(noise * rng.normal(size=(rows, 1, 1)))

            for seed in seeds:
                made = machine | ({"processes": [str(launch)]} if processes else {})
                name = changes.get("name", "LAD")
                write_run(
                    f"{side}/{name}-{seed}-{launch}.h5",
                    **{"name": name, "seed": seed, "clock": clock, "provenance": made} | changes,
                )
        return tmp_path / "study" / side

    return write


def by_quantity(found):
    return {change.quantity: change for change in found.changes}


def compare_folders(before, after):
    return compare(load_collection([before]), load_collection([after]), [], 0.05)


def run_json(capsys, *arguments):
    code = main(["compare", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_planted_regression_of_one_phase_is_found(sides, capsys, monkeypatch):
    before, after = sides("before", name="other"), sides("after", name="other")
    changed = {"coding": {"load": 5}, "name": "LAD"}
    sides("before", noise=0.005, **changed)
    revised = {"git_revision": "b" * 40}
    sides("after", noise=0.005, slower=1.1, provenance=revised, **changed)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", str(before), str(after)]) == 3
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "revision: aaaaaaaa → aaaaaaaa, bbbbbbbb" in shown
    code, document = run_json(capsys, before, after)
    assert (code, document["regression"]) == (3, True)
    assert document["provenance"]["revision"]["before"] == "aaaaaaaa"
    found = [change for change in document["changes"] if change["regression"]]
    assert [(one["method"], one["quantity"]) for one in found] == [("LAD", "aggregate_s")]
    (change,) = found
    assert change["verdict"] == "worse"
    assert change["effect"]["low"] < 1.1 < change["effect"]["high"]
    assert change["effect"]["value"] == pytest.approx(change["after"] / change["before"])
    assert change["replicates"] == [5, 5]
    assert change["p"] <= LEVEL
    # The same change is no regression if so much is tolerated.
    assert run_json(capsys, before, after, "--tolerance", "20%")[0] == 0
    # Seen from the other side, it is an improvement.
    code, document = run_json(capsys, after, before)
    assert code == 0
    assert "better" in [change["verdict"] for change in document["changes"]]


def test_the_same_folder_twice_has_no_verdict(sides, capsys):
    place = sides("before")
    code, document = run_json(capsys, place, place)
    assert code == 0
    assert {one["verdict"] for one in document["changes"]} <= {"equal", "inconclusive"}
    assert "5 runs are in both BEFORE and AFTER." in document["notes"]


def launch_noise(rng, quantities, launches):
    """Return logs of times: heavy tails, slow launches, and a part that all phases share."""
    shared = 0.03 * rng.standard_t(3, size=launches) + 0.1 * (rng.random(launches) < 0.2)
    return shared + 0.02 * rng.standard_t(3, size=(quantities, launches))


def timed_block(rng, method, launches=5, quantities=6, paired=False):
    phases = tuple(
        Quantity(f"phase{place}_s", "", "s", "lower", lambda run: 0.0, is_timed=True)
        for place in range(quantities)
    )
    before, after = (np.exp(launch_noise(rng, quantities, launches)) for _ in range(2))
    return Block(method, phases, before, after, paired, "launches")


def test_noise_alone_gives_at_most_one_false_alarm_in_20_comparisons():
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(20):
        blocks = [timed_block(rng, f"method {place}") for place in range(4)]
        alarms += any(change.regression for change in judge(blocks, 0.05))
    assert alarms <= 1


@pytest.mark.parametrize(("launches", "paired"), [(4, False), (6, True)])
def test_the_probability_of_any_wrong_verdict_is_bounded(launches, paired):
    rng = np.random.default_rng(launches)
    wrong = 0
    for _ in range(100):
        samples = [
            Sample(launch_noise(rng, 5, launches), launch_noise(rng, 5, launches), paired)
            for _ in range(3)
        ]
        wrong += adjusted_p(samples).min() <= LEVEL
    # 5 % of 100 are 5; a correct test exceeds 11 with a probability below 1 %.
    assert wrong <= 11


def test_a_large_change_in_one_of_many_methods_is_found_with_four_launches():
    rng = np.random.default_rng(1)
    blocks = [timed_block(rng, f"method {place}", launches=4) for place in range(10)]
    blocks[3].after[2] = 2 * blocks[3].before[2]
    (found,) = [change for change in judge(blocks, 0.05) if change.verdict is Verdict.WORSE]
    assert (found.method, found.quantity) == ("method 3", "phase2_s")
    assert found.effect.value == pytest.approx(2)


def test_equal_values_and_few_values_give_no_nan():
    assert adjusted_p([]).size == 0
    same = np.ones((1, 4))
    (p,) = adjusted_p([Sample(same, same, paired=False)])
    assert p == 1.0
    (p,) = adjusted_p([Sample(same, same + 0.1, paired=False)])
    assert p <= LEVEL
    (p,) = adjusted_p([Sample(same, np.array([[1.0, 1e300, 1e200, 1e250]]), paired=False)])
    assert p > LEVEL
    found = change_of_mean(np.ones(4), np.full(4, 1.5), paired=True)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert change_of_mean(np.ones(1), np.ones(1), paired=False).coverage is None


def test_a_change_within_the_tolerance_is_equal_if_the_launches_agree(sides):
    before, after = sides("before", noise=1e-3), sides("after", noise=1e-3)
    changes = by_quantity(compare_folders(before, after))
    assert changes["aggregate_s"].verdict is Verdict.EQUAL
    assert changes["loss"].verdict is Verdict.EQUAL


def test_the_seeds_of_one_launch_are_one_replicate(sides):
    seeds = range(1, 7)
    before = sides("before", 1, seeds=seeds, processes=True, noise=1e-3)
    after = sides("after", 1, seeds=seeds, processes=True, noise=1e-3, slower=1.5)
    changes = by_quantity(compare_folders(before, after))
    assert changes["aggregate_s"].verdict is Verdict.INCONCLUSIVE
    assert changes["aggregate_s"].reason == ("too few launches: 1 and 1; 4 on each side are needed")
    # Launches of one seed each are pairs.
    before = sides("before", 1, seeds=seeds, noise=1e-3, name="each", coding={"load": 5})
    after = sides("after", 1, seeds=seeds, noise=1e-3, slower=1.5, name="each", coding={"load": 5})
    found = compare_folders(before, after).regressions
    assert {"aggregate_s"} == {change.quantity for change in found} - {"iteration_s"}
    assert all(change.paired for change in found)


def test_metrics_are_paired_by_seed(write_run, tmp_path):
    for seed in range(1, 7):
        for side, loss in (("before", 1.0), ("after", 1.1)):
            write_run(
                f"{side}/{seed}.h5",
                seed=seed,
                final_loss=loss * seed,
                further={ACCURACY: [0.5] * 12 + [0.9 + seed / 100]},
            )
    before, after = tmp_path / "study" / "before", tmp_path / "study" / "after"
    changes = by_quantity(compare_folders(before, after))
    loss = changes["loss"]
    assert (loss.verdict, loss.regression, loss.paired) == (Verdict.WORSE, True, True)
    assert loss.effect.value == pytest.approx(0.35)
    assert changes["test_accuracy"].verdict is Verdict.EQUAL
    assert "6" in changes["test_accuracy"].reason
    # Without a processor in the log, times have no meaning.
    assert changes["times"].reason == "the logs do not name the processor"
    for seed in (3, 4, 5, 6):
        (after / f"{seed}.h5").unlink()
    loss = by_quantity(compare_folders(before, after))["loss"]
    assert loss.verdict is Verdict.INCONCLUSIVE
    assert loss.reason == "too few seeds: 2 in common; 6 are needed"


def test_sides_with_other_seeds_are_compared_without_pairs(write_run, tmp_path):
    for seed in range(1, 6):
        write_run(f"before/{seed}.h5", seed=seed, final_loss=1.0 + seed / 100)
        write_run(f"after/{seed}.h5", seed=seed + 10, final_loss=0.5 + seed / 100)
    before, after = tmp_path / "study" / "before", tmp_path / "study" / "after"
    loss = by_quantity(compare_folders(before, after))["loss"]
    assert (loss.verdict, loss.paired) == (Verdict.BETTER, False)


def test_bytes_that_no_seed_changes_need_no_test(write_run, tmp_path, capsys):
    write_run("before/1.h5")
    write_run("after/1.h5", dimension=3)
    before, after = tmp_path / "study" / "before", tmp_path / "study" / "after"
    code, document = run_json(capsys, before, after)
    assert code == 3
    (change,) = [one for one in document["changes"] if one["regression"]]
    assert (change["quantity"], change["before"], change["p"]) == ("uplink_bytes", 1000.0, None)
    assert change["effect"]["value"] == pytest.approx(1.08)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ranks": 2}, "ranks was 3 and is 2"),
        ({"provenance": {"cpu_model": "Xeon"}}, "machine was EPYC and is Xeon"),
        ({"provenance": {"oversubscribed": True}}, "oversubscribed was no and is yes"),
        ({"provenance": {"server_ranks": 2}}, "servers was 1 and is 2"),
    ],
)
def test_times_under_other_conditions_are_not_comparable(sides, change, reason):
    before, after = sides("before", 1), sides("after", 1, **change)
    times = by_quantity(compare_folders(before, after))["times"]
    assert (times.verdict, times.reason) == (Verdict.NOT_COMPARABLE, reason)


def test_another_host_and_other_data_are_told_and_compared(sides, capsys):
    before = sides("before", 1, data_digest="sha256:old", packages=["lad_mpi 0.2.0"])
    after = sides(
        "after",
        1,
        data_digest="sha256:new",
        packages=["lad_mpi 0.3.0"],
        provenance={"hosts": ["n2"]},
    )
    code, document = run_json(capsys, before, after)
    assert code == 0
    differing = {name: list(pair.values()) for name, pair in document["provenance"].items()}
    assert differing == {
        "data": ["old", "new"],
        "lad_mpi": ["0.2.0", "0.3.0"],
        "hosts": ["n1", "n2"],
    }
    assert any("the hosts differ" in note for note in document["notes"])
    assert "aggregate_s" in [change["quantity"] for change in document["changes"]]


def test_marks_stand_at_times(sides, capsys, monkeypatch):
    before, after = (
        sides(side, 1, provenance={"oversubscribed": True}) for side in ("before", "after")
    )
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", str(before), str(after)]) == 0
    shown = capsys.readouterr().out
    assert "† oversubscribed" in shown
    assert any("aggregate, ms" in line and "†" in line for line in shown.splitlines())


def test_what_only_one_side_has_is_named(write_run, sides, capsys):
    before, after = sides("before", 1), sides("after", 1, further={ACCURACY: [0.9] * 13})
    write_run("before/gone.h5", name="gone", coding={"load": 5})
    write_run("after/other.h5", name="step", optimizer={"step_size": 0.1})
    write_run("before/other.h5", name="step", optimizer={"step_size": 0.2})
    (after / "damaged.h5").write_bytes(b"no log")
    write_run("after/failed.h5", name="fails\x1b[2J", status="failed", coding={"load": 1})
    assert main(["compare", str(before), str(after)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "only AFTER has it" in shown
    assert "only in BEFORE: gone." in shown
    assert "step: not compared, because optimizer.step_size was 0.2 and is 0.1" in shown
    assert "Logs of AFTER left out: 2" in shown
    assert "damaged.h5" in shown.replace(" ", "")
    assert "the disk is full" in shown
    assert "\x1b" not in shown


def test_versions_side_by_side_are_not_guessed(sides, capsys):
    before = sides("before", 1)
    sides("before", 1, name="LAD", seeds=(2,), provenance={"git_revision": "c" * 40})
    after = sides("after", 1)
    assert main(["compare", str(before), str(after)]) == 2
    shown = capsys.readouterr().err
    assert "Put one version into each folder" in shown
    assert "no method in common" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["before", "empty"], "no logs in"),
        (["before", "nowhere"], "nowhere"),
        (["before", "before", "--value", "los"], "did you mean"),
        (["before", "before", "--value", "aggregate_s"], "is a time"),
        (["before", "before", "--tolerance", "5"], "expected a share such as 5%"),
        (["before", "before", "--tolerance", "nan"], "expected a share such as 5%"),
    ],
)
def test_bad_input_has_a_clear_message(sides, monkeypatch, capsys, arguments, message):
    place = sides("before", 1).parent
    (place / "empty").mkdir()
    monkeypatch.chdir(place)
    try:
        code = main(["compare", *arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_logs_without_times_and_phases_of_some_launches_are_told(sides):
    before, after = sides("before", 2), sides("after", 2)
    path = min(after.iterdir())
    with h5py.File(path, "r+") as file:
        seconds = file["timing/seconds"]
        seconds[:, :, AGGREGATE] = np.nan
    change = by_quantity(compare_folders(before, after))["aggregate_s"]
    assert change.reason == "1 of 2 launches of AFTER lack it"
    for path in after.iterdir():
        with h5py.File(path, "r+") as file:
            file["provenance"].attrs["first_iteration"] = 10**9
    change = by_quantity(compare_folders(before, after))["times"]
    assert (change.verdict, change.reason) == (Verdict.NOT_COMPARABLE, "a side has no times")


def test_launches_that_do_not_alternate_are_noted(sides):
    before, after = sides("before", 2), sides("after", 2)
    for path, day in zip(sorted([*before.iterdir(), *after.iterdir()]), (3, 4, 1, 2), strict=True):
        with h5py.File(path, "r+") as file:
            file.attrs["created"] = f"2030-01-0{day}T00:00:00+00:00"
    assert any("Alternate" in note for note in compare_folders(before, after).notes)
    with h5py.File(path, "r+") as file:
        file.attrs["created"] = "2030-01-05T00:00:00+00:00"
    assert not any("Alternate" in note for note in compare_folders(before, after).notes)
