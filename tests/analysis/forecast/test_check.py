"""Later measurements are compared with a forecast, and the exit code says whether it holds."""

import json

import pytest

from lad_mpi.cli.main import main

#: The gather takes 3 s in the log fixture, the whole iteration 3.6 s.
GATHER_S = 3.0


def emulated(bandwidth):
    return {"emulate": {"latency": "100ms", "bandwidth": bandwidth}}


@pytest.fixture
def check(write_run, tmp_path, monkeypatch, capsys):
    """Fit two seeds, and compare another one on a slower link that took some more seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed, network=emulated("5kB/s"))

    def call(*arguments, more_s=0.0, **changes):
        write_run(
            "later/3.h5", seed=3, network=emulated("2500B/s"),
            seconds={"gather": GATHER_S + more_s}, **changes,
        )  # fmt: skip
        code = main(
            ["forecast", "study", "--where", "seed<=2", "--check", "study/later", *arguments]
        )
        shown = capsys.readouterr()
        return code, " ".join(shown.out.split()), shown.err

    return call


# Half the bandwidth adds 0.2 s for 1000 bytes, and 4 times 2 ms for a broadcast of 10.
@pytest.mark.parametrize(("more_s", "code"), [(0.208, 0), (20.0, 1), (-2.0, 1)])
def test_the_exit_code_says_whether_it_holds(check, more_s, code):
    found, out, _ = check(more_s=more_s)
    assert found == code
    assert f"check: {1 - code} of 1 measured times are inside their intervals" in out
    assert ("THE FORECAST DOES NOT HOLD" in out) == bool(code)


def test_oversubscribed_runs_are_shown_but_not_counted(check):
    code, out, _ = check(more_s=20.0, provenance={"oversubscribed": True})
    assert code == 0
    assert "check: 0 of 0 measured times are inside their intervals; † oversubscribed" in out


def test_json_has_the_comparison(check):
    code, out, _ = check("--json", more_s=0.208)
    assert code == 0
    (one,) = json.loads(out)["check"]
    assert (one["method"], one["ranks"], one["inside"]) == ("LAD d=2", 3, True)
    assert one["measured_s"] == pytest.approx(3.808)


def test_other_methods_cannot_be_compared(check):
    code, _, err = check(name="another")
    assert code == 2
    assert "Its methods are another; the forecast has LAD d=2" in err
