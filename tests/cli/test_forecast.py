"""``lad-mpi forecast``: what it says of a study, and of one that is none."""

import json
import math

import pytest

from lad_mpi.cli.main import main

NETWORK = "bandwidth=40Mbit/s,latency=1ms"


STUDY = """
name = "loads"
[base]
iterations = 30
data = { dimension = 50 }
devices = { count = 10, byzantine = 2 }
[axes]
seed = [1, 2]
[[cases]]
name = "LAD d={coding.load}"
coding = { kind = "cyclic" }
axes = { "coding.load" = [1, 5] }
[[cases]]
name = "small messages"
compression = { kind = "rand_k", k = 5 }
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs of three methods with two seeds in this process: a study without ranks."""
    place = tmp_path_factory.mktemp("forecast")
    (place / "study.toml").write_text(STUDY)
    assert main(["study", "run", str(place / "study.toml"), "-o", str(place / "out"), "-q"]) == 0
    return place / "out"


@pytest.fixture
def folder(study, monkeypatch):
    monkeypatch.chdir(study.parent)
    monkeypatch.setenv("COLUMNS", "80")
    return study


@pytest.fixture
def ask(folder, capsys):
    def call(*arguments):
        code = main(["forecast", str(folder), *arguments])
        return code, capsys.readouterr()

    return call


def test_tables_rank_the_methods_by_their_own_names(ask):
    code, shown = ask("--ranks", "11", "--network", NETWORK, "--target", "1e5")
    assert code == 0
    assert max(map(len, shown.out.splitlines())) <= 80
    text = " ".join(shown.out.split())
    assert f"Time to loss ≤ 100000: P = 11, {NETWORK}" in text
    assert f"Time of an iteration: P = 11, {NETWORK}" in text
    assert "LAD d=5" in text
    assert "Cheapest: " in text
    assert "P = 11 was not measured; the closest is P = 1." in text


def test_json_has_all_numbers(ask):
    code, shown = ask("--json", "--network", NETWORK, "--target", "1e-30")
    assert code == 0
    (scenario,) = json.loads(shown.out)["scenarios"]
    assert (scenario["ranks"], scenario["network"]) == (1, NETWORK)
    names = [row["method"] for row in scenario["methods"]]
    # Fewer bytes win on a slow network, and no method gets there.
    assert names[0] == "small messages"
    assert sorted(scenario["not_reached"]) == sorted(names)
    assert scenario["cheapest"] == []
    for row in scenario["methods"]:
        interval = row["iteration_s"]
        assert interval["low"] <= interval["value"] <= interval["high"]
        assert math.isclose(sum(row["parts_s"].values()), interval["value"])
        assert row["progress"]["iterations"] is None
        assert row["to_target_s"] is None


def test_methods_that_never_get_there_are_named(ask):
    _, shown = ask("--target", "1e-30")
    text = " ".join(shown.out.split())
    assert "Cheapest: none reaches the target." in text
    assert "small messages (0 of 2 seeds)" in text


def test_several_networks_are_several_tables(ask):
    _, shown = ask("--network", NETWORK, "--network", "latency=1us", "--json")
    networks = [one["network"] for one in json.loads(shown.out)["scenarios"]]
    assert networks == [NETWORK, "latency=1us"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "latncy=2us"), "did you mean 'latency'"),
        (("--network", "latency=2us,bandwidth=25"), "expected a number with its unit"),
        (("--ranks", "two"), "--ranks two: expected numbers with commas between them"),
        (("--ranks", "3"), "measured only with P = 1"),
        (("--ranks", "12", "--network", NETWORK), "occupy at most 11 ranks"),
        (("--target", "nan"), "expected a finite number"),
        (("--target", "gradient_nor=1"), "did you mean 'gradient_norm'?"),
        (("--target", "beta_squared=1"), "neither direction of 'beta_squared' is better"),
        (("--where", "coding.laod=1"), "did you mean 'coding.load'?"),
        (("--check", "out"), "starts from all of these runs"),
    ],
)
def test_questions_that_make_no_sense_are_refused(ask, arguments, message):
    code, shown = ask(*arguments)
    assert code == 2
    assert message in shown.err


def test_a_folder_without_runs_and_one_of_single_launches_are_told(folder, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert main(["forecast", str(tmp_path / "empty")]) == 2
    assert "no logs in" in capsys.readouterr().err
    assert main(["forecast", str(tmp_path / "none")]) == 2
    assert "none does not exist" in capsys.readouterr().err
    assert main(["forecast", str(folder), "--where", "seed=1"]) == 2
    assert "every method was launched once" in capsys.readouterr().err


def test_on_several_ranks_it_is_refused_once(lad):
    done = lad("forecast", "out", ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("was started on several ranks") == 1
