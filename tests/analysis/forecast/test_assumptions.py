"""What a forecast assumes, it says."""

import pytest

from analysis.forecast import Question, forecast
from analysis.forecast.assumptions import assumptions, reading_notes
from lad_mpi.network import Network

GIVEN = {"fast": Network(1e-6, 1e9)}


@pytest.fixture
def ask(write_run, tmp_path):
    """Forecast from two seeds on three ranks."""

    def call(changes=None, **question):
        for seed in (1, 2):
            write_run(f"{seed}.h5", seed=seed, **(changes or {}))
        found = forecast([tmp_path / "study"], Question(**question))
        return assumptions(found)

    return call


def test_at_what_was_measured_only_the_machine_is_assumed(ask):
    (said,) = ask()
    assert said.startswith("the processors and their other load are as during the measurements")
    assert "varied by 2% between launches" in said


def test_a_given_network_and_other_ranks_are_named(ask):
    text = " ".join(ask(ranks=(3, 6), networks=GIVEN))
    assert "fast: every device and server is a machine with one link" in text
    assert "use --ranks 11" in text
    assert "MPI and waiting take at most as long as measured" in text
    assert "P = 6 was not measured; the closest is P = 3." in text
    assert "A rank hosts 2 instead of 5 devices." in text


def test_a_measured_network_is_no_other_one(ask):
    emulated = {"network": {"emulate": {"latency": "1us", "bandwidth": "1GB/s"}}}
    text = " ".join(ask(emulated))
    assert "latency=1us,bandwidth=1GB/s: every device" in text
    assert "on another network" not in text


def test_few_seeds_have_a_range(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed)
    found = forecast([tmp_path / "study"], Question(target="1e9"))
    assert "an interval needs 7 seeds" in " ".join(reading_notes(found))
    assert "an evaluation shows the target" in " ".join(assumptions(found)).lower()
