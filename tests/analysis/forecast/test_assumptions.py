"""What a forecast takes for granted is said, and by how much; lines have what rows have."""

import pytest

from analysis.forecast import Forecast, Question, forecast
from analysis.forecast.sweep import asked_setting, lines_along, measured_setting, points_along
from lad_mpi.network import Network


@pytest.fixture
def ask(write_run, tmp_path):
    """Forecast from four loads on three ranks, whose compute is 0.1 s for each subset."""
    for load in (1, 2, 5, 10):
        write_run(
            f"lad{load}.h5", coding={"load": load},
            seconds={"compute": 0.1 * load, "gather": 0.4 + 0.1 * load},
        )  # fmt: skip

    def call(**question) -> tuple[Forecast, Question]:
        asked = Question(**question)
        return forecast([tmp_path / "study"], asked), asked

    return call


def test_at_what_was_measured_only_the_model_is_assumed(ask):
    found, _ = ask()
    (said,) = found.assumptions
    assert said.startswith("the model errs by ")


def test_every_size_beyond_is_named_with_its_factor(ask):
    found, _ = ask(ranks=(31,), loads=(20,), dimensions=(2, 8), target="50")
    text = " ".join(found.assumptions)
    assert "P = 31 is 10.3 times the largest measured, 3." in text
    assert "d = 20 is 2 times the largest measured, 10." in text
    assert "Q = 8 is 4 times the largest measured, 2." in text
    assert "N = 30 devices instead of 10" in text
    assert "f = 6 in proportion." in text
    assert "as it did up to P = 3" in text
    assert "update grows with: Q; here up to 4 times the largest measured." in text
    assert "this was not varied" in text


def test_a_given_network_is_no_measured_one(ask):
    found, _ = ask(networks=(Network(1e-6, 1e9),))
    assert "the model of latency=1us,bandwidth=1GB/s:" in found.assumptions[0]


def test_errors_taken_over_are_told_with_the_law_of_the_dispersion(ask):
    found, _ = ask(ranks=(21,), loads=(10,), target="50")
    (said,) = (line for line in found.assumptions if "iterations to the target" in line)
    # At d = N there was no dispersion at all, and at d = N/2 there is some.
    assert "at N = 20 and Q = 2 are those of the logs" in said
    assert "honest messages are no longer equal there at d = 10." in said


def test_lines_go_through_the_rows_and_marks_through_the_cases(ask):
    network = Network(1e-3, 1e6)
    found, question = ask(ranks=(5,), loads=(1, 5), networks=(network,))
    setting = asked_setting(found, question)
    assert (setting.ranks, setting.network) == (5, network)
    (line,) = lines_along("load", found, setting, to_target=False)
    rows = {row.workload.load: row.iteration.seconds for row in found.rows}
    assert line.places == (1, 2, 5, 10)
    assert [line.values[0], line.values[2]] == [rows[1], rows[5]]
    rates = lines_along("bandwidth", found, setting, to_target=False)[0]
    seconds = [value.value for value in rates.values]
    assert seconds == sorted(seconds, reverse=True)
    base = measured_setting(found)
    assert (base.ranks, base.load) == (3, 10)
    (marks,) = points_along("load", found, to_target=False)
    assert marks.places == (1, 2, 5, 10)
    assert [value.value for value in marks.values] == pytest.approx([1.1, 1.2, 1.5, 2.0])
