"""Times that are not those of a real network say so wherever they are shown."""

import pytest

from analysis import style
from analysis.cli import main
from analysis.figures import FIGURES, canvas
from analysis.runs import load_collection
from lad_mpi.training.clock import TRAINING_PHASES

EMULATED = {"network": {"emulate": {"latency": "1ms", "bandwidth": "2MB/s"}}}
NOTE = "emulated network (latency=1ms,bandwidth=2MB/s)"


def one_line(text):
    return " ".join(text.split())


def test_the_table_marks_them(write_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = write_run(**EMULATED, provenance={"oversubscribed": True})
    assert main(["table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "3.60e+03†‡" in shown
    assert f"‡ {NOTE}" in one_line(shown)


def test_networks_are_methods_of_their_own(write_run, tmp_path):
    write_run("real.h5")
    write_run("emulated.h5", **EMULATED)
    methods = load_collection([tmp_path]).methods
    assert {method.emulated_network for method in methods} == {"", "latency=1ms,bandwidth=2MB/s"}
    assert {method.label for method in methods} == {
        "LAD d=2 (bandwidth=2MB/s, latency=1ms)",
        "LAD d=2 (bandwidth=none, latency=none)",
    }


def test_no_two_phases_share_a_colour():
    phases = ["communication", *TRAINING_PHASES]
    colors = style.phase_colors(phases, rest="communication")
    assert list(colors) == phases
    assert len(set(colors.values())) == len(phases)
    assert colors["communication"] == style.REST_COLOR


@pytest.mark.parametrize("name", ["loss_against_seconds", "phase_times"])
def test_figures_of_times_say_it_above_and_below(write_run, name):
    draw = FIGURES[name]
    with canvas.settings():
        figure, caption = draw(load_collection([write_run(**EMULATED)]))
        plain, said = draw(load_collection([write_run("real.h5")]))
    assert "emulated network: latency=1ms,bandwidth=2MB/s" in figure.get_suptitle()
    assert f"E{NOTE[1:]}" in caption
    assert "mulated" not in plain.get_suptitle() + said
