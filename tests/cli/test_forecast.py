"""``lad-mpi forecast``: what it says of a study, and of one that is none."""

import json
import math

import pytest

from lad_mpi.cli.main import main
from lad_mpi.records import read_scaling


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs of five loads in this process: a study without ranks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "study.toml").write_text(
        """
        name = "loads"
        [base]
        iterations = 30
        data = { dimension = 50 }
        devices = { count = 10, byzantine = 2 }
        [[cases]]
        name = "LAD d={coding.load}"
        coding = { kind = "cyclic" }
        axes = { "coding.load" = [1, 2, 3, 5, 10] }
        """
    )
    assert main(["study", "run", "study.toml", "-o", "out", "-q"]) == 0
    return tmp_path / "out"


@pytest.fixture
def ask(folder, capsys):
    def call(*arguments):
        code = main(["forecast", str(folder), *arguments])
        return code, capsys.readouterr()

    return call


def test_tables_name_the_check_the_cheapest_and_what_is_assumed(ask):
    network = "latency=2us,bandwidth=25GB/s"
    code, shown = ask(
        "--ranks", "1000", "--network", network, "--load", "1,5", "--target", "1e5",
    )  # fmt: skip
    assert max(map(len, shown.out.splitlines())) <= 80
    text = " ".join(shown.out.split())
    assert "check: trimmed mean: P=1, N=10, d=10, Q=50 left out: predicted" in text
    # What was measured decides which of the two.
    assert code == (0 if "ms, inside" in text else 1)
    assert ("OUTSIDE: the model does not hold here" in text) == (code == 1)
    assert f"Time of an iteration, {network}" in text
    assert "Cheapest: d=" in text
    assert "P = 1000 is 1000 times the largest measured, 1." in text
    assert "N = 999 devices instead of 10" in text
    assert "and f = 199 in proportion" in text
    assert "Nothing of it was measured" in text


def test_json_has_all_numbers(ask):
    _, shown = ask("--json", "--target", "1e-30")
    found = json.loads(shown.out)
    assert [row["load"] for row in found["rows"]] == [1, 2, 3, 5, 10]
    for row in found["rows"]:
        assert (
            row["iteration_s"]["low"] <= row["iteration_s"]["value"] <= row["iteration_s"]["high"]
        )
        assert math.isclose(sum(row["parts_s"].values()), row["iteration_s"]["value"])
        # No method gets there.
        assert row["progress"]["iterations"] is None
        assert row["to_target_s"] is None
    assert found["cheapest"] == []
    assert found["check"]["measured_s"] > 0
    assert {term["term"] for term in found["model"]["terms"]} >= {"compute", "aggregate"}


def test_a_method_that_never_gets_there_says_so(ask):
    _, shown = ask("--target", "1e-30", "--load", "5,7")
    assert "not in 30" in shown.out
    assert "not run" in shown.out
    assert "Cheapest: none reaches the target" in shown.out


def test_figures_are_drawn_with_captions(ask, tmp_path):
    pytest.importorskip("matplotlib")
    _, shown = ask(
        "--ranks", "50", "--network", "latency=2us,bandwidth=1GB/s", "--dimension", "50,500",
        "--target", "5", "-o", "figures",
    )  # fmt: skip
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    drawn = {"forecast_iteration", "forecast_target"}
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("pdf", "png")} | {
        "captions.md"
    }
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert "Q=500, latency=2us,bandwidth=1GB/s" in captions
    # Letters stay as they are everywhere else.
    assert "Check: trimmed mean: P=1, N=10, d=10, Q=50 left out: predicted" in captions
    assert "figures/captions.md" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "latncy=2us"), "did you mean 'latency'"),
        (("--network", "latency=2us,bandwidth=25"), "expected a number with its unit"),
        (("--ranks", "two"), "--ranks two: expected numbers with commas between them"),
        (("--load", "0"), "--load 0: expected whole numbers from 1 on"),
        (("--load", "11"), "load"),
        (("--ranks", "3"), "give a --network"),
        (("--target", "nan"), "expected a finite number"),
        (("--target", "gradient_nor=1"), "did you mean 'gradient_norm'?"),
        (("--target", "beta_squared=1"), "neither direction of 'beta_squared' is better"),
    ],
)
def test_questions_that_make_no_sense_are_refused(ask, arguments, message):
    code, shown = ask(*arguments)
    assert code == 2
    assert message in shown.err


def test_a_folder_without_runs_and_one_with_too_few_are_told(folder, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert main(["forecast", str(tmp_path / "empty")]) == 2
    assert "no logs in" in capsys.readouterr().err
    assert main(["forecast", str(tmp_path / "none")]) == 2
    assert "none does not exist" in capsys.readouterr().err
    logs = sorted(folder.rglob("*.h5"))
    assert main(["forecast", *map(str, logs[:3])]) == 2
    assert "3 cases were measured; a forecast needs 4" in capsys.readouterr().err


def test_a_scaling_study_is_measured_and_taken_to_more_ranks(alone, tmp_path):
    done = alone(
        "scale", "strong", "spec.toml", "--ranks", "1,2", "--over", "load=1,5", "--launches", "1",
        "--baseline", "none", "-o", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(read_scaling(tmp_path / "out").cases) == 4
    done = alone(
        "forecast", "out", "--ranks", "100", "--json", "--network", "latency=2us,bandwidth=1GB/s"
    )
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    assert (done.returncode == 0) == found["check"]["passed"]
    assert "P=2, N=10, d=5" in found["check"]["case"]
    assert {(row["ranks"], row["devices"], row["load"]) for row in found["rows"]} == {
        (100, 99, 1), (100, 99, 5),
    }  # fmt: skip


def test_on_several_ranks_it_is_refused_once(lad):
    done = lad("forecast", "out", ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("was started on several ranks") == 1
