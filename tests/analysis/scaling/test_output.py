"""Tables and figures of scaling studies."""

import json

import pytest

from analysis.cli import main
from analysis.forecast.observe import observe
from analysis.scaling import load_scaling
from lad_mpi.errors import ExitCode

FIGURES = {"speedup_and_efficiency", "phases_and_bounds", "cost_along_axis"}


@pytest.fixture
def show(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        code = main(["scaling", *map(str, arguments)])
        return code, capsys.readouterr()

    return call


def test_the_tables_fit_80_columns_and_name_what_counts(write_study, show):
    code, shown = show(write_study(over=[1, 2]))
    assert code == ExitCode.OK
    assert max(map(len, shown.out.splitlines())) <= 80
    for word in ("p5-load=2", "speed-up", "communication", "LB", "compute, rank 4", "% of it"):
        assert word in shown.out
    assert "VOID" not in shown.out


def test_void_is_said_first_and_void_launches_last(write_study, show):
    _, shown = show(write_study(void={"p2-1.h5"}, study_void=["the machine drifted"]))
    assert shown.out.startswith("VOID, no claim is made: the machine drifted")
    assert shown.out.rstrip().endswith("p2-1.h5: its loss differs")


def test_oversubscribed_cases_are_marked(write_study, show):
    _, shown = show(write_study(provenance={"oversubscribed": True}))
    assert "p3†" in shown.out
    assert "no claim is made" in shown.out


def test_emulated_networks_are_marked(write_study, show):
    folder = write_study(network={"emulate": {"latency": "1ms"}})
    _, shown = show(folder)
    assert "p3‡" in shown.out
    assert "emulated network (latency=1ms)" in " ".join(shown.out.split())
    _, shown = show(folder, "--json")
    assert {case["emulated_network"] for case in json.loads(shown.out)["cases"]} == {"latency=1ms"}


def test_json_has_all_numbers(write_study, show):
    _, shown = show(write_study(), "--json")
    found = json.loads(shown.out)
    assert (found["kind"], found["base"], found["void"]) == ("strong", "p2", [])
    assert [case["ranks"] for case in found["cases"]] == [2, 3, 5]
    first = found["cases"][0]
    assert first["seconds"]["median"] == pytest.approx(3.6)
    assert {phase["name"] for phase in first["phases"]} >= {"compute", "communication"}
    assert all("percent_of_bound" in phase for phase in first["phases"])


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_all_figures_are_drawn_with_captions(write_study, show, tmp_path, kind):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "figures"
    code, shown = show(write_study(kind=kind, over=[1, 5]), "-o", folder)
    assert code == ExitCode.OK
    drawn = {path.stem for path in folder.glob("*.png")}
    assert drawn == FIGURES == {path.stem for path in folder.glob("*.pdf")}
    captions = (folder / "captions.md").read_text()
    assert all(f"**{name}.**" in captions for name in FIGURES)
    assert "mulated" not in captions
    assert "p2-load=1: 3.60e+03 ms" in captions
    assert str(folder / "captions.md") in shown.out


def test_a_void_study_says_so_in_every_figure(write_study, tmp_path):
    pytest.importorskip("matplotlib")
    from analysis.figures import SCALING_FIGURES
    from analysis.scaling import load_scaling, summarise_scaling

    study = load_scaling(write_study(over=[1, 5], study_void=["the machine drifted"]))
    rows = summarise_scaling(study)
    for draw in SCALING_FIGURES.values():
        figure, caption = draw(study, rows)
        assert figure.get_suptitle().startswith("VOID")
        assert "VOID, no claim is made: the machine drifted." in caption


def test_an_emulated_network_is_named_in_every_caption(write_study):
    pytest.importorskip("matplotlib")
    from analysis.figures import SCALING_FIGURES
    from analysis.scaling import load_scaling, summarise_scaling

    study = load_scaling(write_study(over=[1, 5], network={"emulate": {"latency": "1ms"}}))
    rows = summarise_scaling(study)
    for draw in SCALING_FIGURES.values():
        _, caption = draw(study, rows)
        assert "Emulated network (latency=1ms): times include the wait" in caption


def test_one_p_has_no_speedup_and_no_axis_no_cost(write_study, tmp_path):
    pytest.importorskip("matplotlib")
    from analysis.figures import SCALING_FIGURES
    from analysis.scaling import load_scaling, summarise_scaling

    study = load_scaling(write_study(ranks=(2,)))
    rows = summarise_scaling(study)
    drawn = {name for name, draw in SCALING_FIGURES.items() if draw(study, rows) is not None}
    assert drawn == {"phases_and_bounds"}


def test_a_folder_without_a_study_is_told(tmp_path, show):
    code, shown = show(tmp_path)
    assert code == ExitCode.USAGE
    assert "scaling.json cannot be read" in shown.err


def draw_all(study):
    from analysis.figures import SCALING_FIGURES, canvas
    from analysis.scaling import summarise_scaling

    rows = summarise_scaling(study)
    with canvas.settings():
        return {name: draw(study, rows) for name, draw in SCALING_FIGURES.items()}


def test_a_bar_of_phases_ends_where_its_number_says(write_study):
    pytest.importorskip("matplotlib")
    study = load_scaling(write_study(launches=3))
    # Medians of phases do not add up to the median of the whole.
    for case in study.cases:
        for factor, run in enumerate(case.runs, start=1):
            run.seconds[:, :, run.phases.index("compute")] *= 4 - factor
            run.seconds[:, 0, run.phases.index("gather")] *= factor
    figure, _ = draw_all(study)["phases_and_bounds"]
    (axes,) = figure.axes
    ends = {}
    for bar in axes.patches:
        place = round(bar.get_y() + bar.get_height() / 2, 6)
        ends[place] = max(ends.get(place, 0.0), bar.get_x() + bar.get_width())
    assert len(axes.texts) == 3
    for text in axes.texts:
        assert ends[round(text.xy[1], 6)] == pytest.approx(text.xy[0])
        assert float(text.get_text()) == pytest.approx(text.xy[0], rel=5e-3)


@pytest.mark.parametrize(
    "changes", [{"study_void": ["drifted"]}, {"provenance": {"oversubscribed": True}}]
)
def test_what_makes_no_claim_draws_none(write_study, changes):
    pytest.importorskip("matplotlib")
    drawn = draw_all(load_scaling(write_study(**changes)))
    figure, caption = drawn["speedup_and_efficiency"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["time of an iteration (ms)"]
    assert "speed-up and efficiency are not drawn" in caption
    figure, caption = drawn["phases_and_bounds"]
    places = {round(bar.get_y() + bar.get_height() / 2, 6) for bar in figure.axes[0].patches}
    # Bounds come from a baseline, which drifted or was crowded.
    assert len(places) == (6 if "provenance" in changes else 3)
    assert ("Lower bar" in caption) == ("provenance" in changes)


def test_captions_keep_capital_letters(write_study):
    pytest.importorskip("matplotlib")
    drawn = draw_all(
        load_scaling(write_study(over=[1, 5], network={"emulate": {"latency": "1ms"}}))
    )
    for figure, caption in drawn.values():
        assert "N = 10 devices, f = 2 of them Byzantine" in figure.get_suptitle()
        assert "every p" not in caption


def test_many_groups_are_thinned_out_and_said(write_study):
    pytest.importorskip("matplotlib")
    study = load_scaling(write_study(ranks=(2, 3), over=list(range(1, 11)), launches=1))
    _, caption = draw_all(study)["speedup_and_efficiency"]
    assert "Not drawn" not in caption
    from analysis.figures import scaling

    groups = {f"load={n}": [] for n in range(1, 31)}
    chosen, said = scaling._chosen(groups)
    assert (len(chosen), next(iter(chosen)), list(chosen)[-1]) == (12, "load=1", "load=30")
    assert said.startswith("Not drawn, of 30: load=2; ")
    assert len({*chosen, *said.removesuffix(".").partition(": ")[2].split("; ")}) == 30


def test_captions_tell_intervals_from_ranges_where_launches_are_void(write_study):
    """Five launches of p3 count, so neither its time nor its efficiency has an interval."""
    pytest.importorskip("matplotlib")
    study = load_scaling(write_study(launches=7, void={"p3-1.h5", "p3-2.h5"}))
    _, caption = draw_all(study)["speedup_and_efficiency"]
    said = "95% or more; least to greatest if there are fewer than 6 launches, or 7 for efficiency"
    assert said in caption


def test_a_forecast_starts_from_a_scaling_study(write_study):
    """Its cases have the names of the runs, and void launches do not count."""
    folder = write_study((2, 3), over=[1, 5], void=("p2-load=1-1.h5",))
    found = observe([folder])
    assert sorted((case.method, case.ranks, len(case.launches)) for case in found.cases) == [
        ("n-load=1", 2, 1), ("n-load=1", 3, 2), ("n-load=5", 2, 2), ("n-load=5", 3, 2),
    ]  # fmt: skip
    assert any("p2-load=1" in line for line in found.excluded)
    assert found.void == ()


def test_a_forecast_from_a_void_study_is_void(write_study):
    assert observe([write_study(study_void=["the machine was restarted"])]).void == (
        "the machine was restarted",
    )
