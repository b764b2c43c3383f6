"""Bounds of phases, and what a drift of the machine voids."""

import dataclasses

import pytest

from analysis.cli import main
from analysis.scaling import load_scaling, summarise_scaling, void_lines
from analysis.scaling.bounds import Sizes, phase_bounds, sizes_of
from lad_mpi.logs import read_log
from lad_mpi.models import GradientWork
from lad_mpi.network import Network
from lad_mpi.records import Baseline, Quantity
from lad_mpi.records.baseline import ALONE

#: Caches are ten times as fast as memory; all ranks at once have half of it each.
MACHINE = Baseline(
    "now", True, 3, False, {},
    (
        Quantity("copy_alone", "B/s", (1e10,), 1),
        Quantity("copy_alone", "B/s", (1e9,), 10),
        Quantity("copy_each", "B/s", (5e9,), 1),
        Quantity("copy_each", "B/s", (5e8,), 10),
        Quantity("gemm_alone", "flop/s", (1e10,), 1),
        Quantity("gemm_each", "flop/s", (5e9,), 1),
        Quantity("gemv_alone", "flop/s", (1e10,), 1),
        Quantity("gemv_each", "flop/s", (5e9,), 1),
        Quantity("gemv_each", "flop/s", (1e9,), 1000),
        Quantity("bcast", "s", (1e-3,), 100),
        Quantity("gather", "s", (1e-2,), 100),
    ),
)  # fmt: skip
#: Five devices with two subsets of three samples each.
WORK = GradientWork(30, 120_000, 31_000, "gemv")
SIZES = Sizes(
    devices=10, hosted=5, load=2, encoded=0, gradient=WORK, distinct=WORK,
    dimension=1000, values=1000, item_bytes=8, uplink_bytes=100, downlink_bytes=100,
    gram=False, several=True,
)  # fmt: skip


def test_every_phase_has_the_bound_that_its_formula_says():
    bounds = phase_bounds(SIZES, MACHINE, 3)
    assert bounds["compute"] == pytest.approx(31_000 * 8 / 5e8)
    assert bounds["pack"] == pytest.approx((5 * 8000 + 50) / 5e8)
    assert bounds["unpack"] == pytest.approx((100 + 10 * 8000) / 1e9)
    assert bounds["aggregate"] == pytest.approx(10 * 8000 / 1e9)
    assert bounds["update"] == pytest.approx(3 * 8000 / 1e9)
    assert bounds["communication"] == pytest.approx(1.1e-2)


def test_only_vectors_that_are_added_after_the_gradients_bound_the_encoding():
    assert "encode" not in phase_bounds(SIZES, MACHINE, 3)
    shared = dataclasses.replace(SIZES, encoded=2)
    bound = phase_bounds(shared, MACHINE, 3)["encode"]
    assert bound == pytest.approx(5 * 2 * 8000 / 5e9 + 5 * 8000 / 5e8)


def test_operations_bound_where_they_take_longer_than_bytes():
    many = dataclasses.replace(SIZES, gradient=GradientWork(15_000, 6e7, 15_001_000, "gemv"))
    assert phase_bounds(many, MACHINE, 3)["compute"] == pytest.approx(6e7 / 5e9)
    gram = dataclasses.replace(SIZES, gram=True, devices=1000, uplink_bytes=1e4)
    assert phase_bounds(gram, MACHINE, 3)["aggregate"] == pytest.approx(1000 * 1001 * 1000 / 1e10)


def test_one_device_rank_is_bounded_by_what_one_can_do_alone():
    alone = dataclasses.replace(SIZES, several=False)
    assert phase_bounds(alone, MACHINE, 2)["compute"] == pytest.approx(31_000 * 8 / 1e9)


def test_float32_halves_bytes_and_doubles_the_rate():
    assert phase_bounds(dataclasses.replace(SIZES, item_bytes=4), MACHINE, 3)[
        "compute"
    ] == pytest.approx(31_000 * 4 / 5e8)
    many = GradientWork(15_000, 6e7, 15_001_000, "gemv")
    single = dataclasses.replace(SIZES, item_bytes=4, gradient=many)
    assert phase_bounds(single, MACHINE, 3)["compute"] == pytest.approx(6e7 / 1e10)


def test_an_emulated_network_is_its_own_bound():
    network = Network(latency_s=1.0, bandwidth_bytes_per_s=50)
    emulated = dataclasses.replace(SIZES, network=network)
    # Four rounds of a tree over ten devices and the server, and one gather of all bytes.
    assert phase_bounds(emulated, MACHINE, 3)["communication"] == pytest.approx(4 * 3.0 + 3.0)
    alone = phase_bounds(emulated, MACHINE, 1)
    assert (alone["broadcast"], alone["gather"]) == pytest.approx((12.0, 3.0))
    assert "communication" not in alone


def test_one_process_has_no_collectives_and_what_was_not_measured_bounds_nothing():
    assert "communication" not in phase_bounds(SIZES, MACHINE, 1)
    bare = dataclasses.replace(MACHINE, quantities=())
    assert phase_bounds(SIZES, bare, 3) == {}


@pytest.mark.parametrize(("rule", "gram"), [("trimmed_mean", False), ("krum", True)])
def test_sizes_are_those_of_the_log(write_run, rule, gram):
    run = read_log(write_run(ranks=4, aggregation={"kind": rule, "pre": []}))
    work = GradientWork(8, 3200, 900, "gemv")
    assert sizes_of(run) == Sizes(
        devices=10, hosted=4, load=2.0, encoded=0.0, gradient=work, distinct=work,
        dimension=100, values=100, item_bytes=8,
        uplink_bytes=1000.0, downlink_bytes=10.0, gram=gram, several=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "samples", "distinct"),
    [
        # Four devices with two subsets each, of ten subsets.
        ({}, 4 * 2 * 12, 8 * 12),
        ({"devices": {"batch_size": 5}}, 4 * 2 * 5, 8 * 5),
        ({"devices": {"batch_size": 50}}, 4 * 2 * 12, 8 * 12),
        ({"coding": {"load": 5}}, 4 * 5 * 12, 10 * 12),
        # A rank that shares gradients computes those of one device at least.
        ({"coding": {"load": 5}, "compute": "shared"}, 5 * 12, 10 * 12),
    ],
)
def test_the_work_of_a_rank_is_that_of_its_batches(write_run, changes, samples, distinct):
    data = {"kind": "synthetic", "dimension": 50, "samples_per_subset": 12}
    sizes = sizes_of(read_log(write_run(ranks=4, data=data, **changes)))
    assert sizes.gradient.samples == samples
    assert sizes.gradient.operations == 4 * samples * 50
    assert sizes.distinct.numbers == distinct * 50 + 50


def test_momentum_and_shared_gradients_are_vectors_to_add(write_run):
    changes = [{}, {"devices": {"momentum": 0.9}}, {"compute": "shared"}]
    runs = [read_log(write_run(f"{i}.h5", **change)) for i, change in enumerate(changes)]
    assert [sizes_of(run).encoded for run in runs] == [0.0, 1.0, 2.0]


def test_gram_rules_are_known_through_pre_aggregations_too(write_run):
    pipeline = {"kind": "trimmed_mean", "pre": [{"kind": "nnm"}]}
    assert sizes_of(read_log(write_run(aggregation=pipeline))).gram


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"kind": "diabetes"}},
        {"data": {"kind": "of another package"}},
        {"backend": {"kind": "cupy"}},
    ],
)
def test_runs_without_known_bounds_have_none(write_run, changes):
    assert sizes_of(read_log(write_run(**changes))) is None


#: An iteration takes 3.6 s: device rank r computes r s, 0.5 s are aggregation, the rest
#: is communication. The compute phase is the same at every P.
UNRELATED = [
    Quantity("hdf5_append", "B/s", (1e9,), 2**20, ALONE),
    Quantity("triad_alone", "B/s", (1e9,), 8, ALONE),
    Quantity("triad_each", "B/s", (1e9,), 8),
    Quantity("copy_together", "B/s", (1e9,), 8),
    Quantity("ping_pong", "s", (1e-5,), 8, "rank 0 – rank 1"),
    Quantity("gpu_copy", "B/s", (1e9,), 8, ALONE),
]


@pytest.fixture
def judge(write_study):
    def call(after, **changes):
        study = load_scaling(write_study(after=after, extra=UNRELATED, **changes))
        rows = summarise_scaling(study)
        return {row.name: row for row in rows}, void_lines(rows, study)

    return call


def claims(rows):
    return {name for name, row in rows.items() if row.efficiency is not None}


def bound(row, name):
    (phase,) = (phase for phase in row.phases if phase.name == name)
    return phase.bound_s


@pytest.mark.parametrize("name", [quantity.name for quantity in UNRELATED])
@pytest.mark.parametrize("changes", [{}, {"data": {"kind": "of another package"}}])
def test_a_quantity_that_no_phase_rests_on_voids_nothing(judge, name, changes):
    rows, void = judge({2: {name: 5.0}, 3: {name: 0.2}, 5: {name: 5.0}}, **changes)
    assert void == []
    assert claims(rows) == {"p2", "p3", "p5"}


def test_nor_does_a_quantity_of_another_rule_or_of_other_ranks(judge):
    # A trimmed mean takes no products of pairs; P = 7 makes no claim.
    rows, void = judge({3: {"gemm_alone": 5.0, "gemm_each": 5.0}, 7: {"gather": 5.0}})
    assert void == []
    assert claims(rows) == {"p2", "p3", "p5"}


def test_a_drift_of_what_a_case_rests_on_voids_that_case(judge):
    rows, void = judge({3: {"gather": 3.0, "hdf5_append": 9.0}})
    assert claims(rows) == {"p2", "p5"}
    assert rows["p3"].speedup is None
    assert rows["p3"].seconds.median == pytest.approx(3.6)
    reason = "the machine drifted at P = 3: gather at 1000000000 bytes changed by +200%"
    assert rows["p3"].drift == (reason,)
    assert void == [
        f"p3: no speed-up or efficiency: {reason}",
        f"p3: no bound of communication: {reason}",
    ]
    assert bound(rows["p3"], "communication") is None
    assert bound(rows["p3"], "compute") is not None
    assert bound(rows["p5"], "communication") == pytest.approx(2e-2)


def test_a_drift_at_the_ranks_of_the_base_voids_all_that_is_relative_to_it(judge):
    rows, void = judge({2: {"bcast": 3.0}})
    assert claims(rows) == set()
    assert [row.drift for row in rows.values()] == 3 * [rows["p2"].drift]
    # The bounds of the others rest on their own baselines.
    assert bound(rows["p2"], "communication") is None
    assert bound(rows["p3"], "communication") == pytest.approx(2e-2)
    assert void[0].startswith("p2, p3, p5: no speed-up or efficiency: ")


def test_a_short_phase_does_not_void_the_whole(judge):
    # A half more of the bandwidth of one rank takes a third off 0.5 s of 3.6 s.
    rows, void = judge({5: {"copy_alone": 1.5}})
    assert claims(rows) == {"p2", "p3", "p5"}
    assert bound(rows["p5"], "aggregate") is None
    assert [line.partition(": the")[0] for line in void] == ["p5: no bound of aggregate"]


@pytest.mark.parametrize(("drift", "void"), [(0.1, True), (0.5, False)])
def test_the_threshold_is_that_of_the_study(judge, drift, void):
    rows, _ = judge({3: {"gather": 3.0}}, drift=drift)
    assert ("p3" not in claims(rows)) == void


@pytest.mark.parametrize(
    ("name", "backend", "void"),
    [
        ("copy_each", "numpy", True),
        ("gather", "numpy", True),
        ("gpu_copy", "numpy", False),
        ("gpu_copy", "cupy", True),
    ],
)
def test_where_no_bounds_are_known_all_counts_that_an_iteration_may_rest_on(
    judge, name, backend, void
):
    changes = {"data": {"kind": "of another package"}, "backend": {"kind": backend}}
    rows, _ = judge({3: {name: 2.0}}, **changes)
    assert ("p3" not in claims(rows)) == void


def test_a_study_that_was_not_measured_afterwards_is_not_finished(write_study):
    folder = write_study()
    record = folder / "scaling.json"
    record.write_text(record.read_text().replace('"after": "a3.json"', '"other": "x"'))
    study = load_scaling(folder)
    assert study.void == ["there is no baseline after the launches: the study is not finished"]


def test_tables_and_captions_say_it_and_figures_do_not_draw_it(write_study, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    from analysis.figures import SCALING_FIGURES

    monkeypatch.setenv("COLUMNS", "80")
    folder = write_study(after={3: {"gather": 3.0}})
    assert main(["scaling", str(folder)]) == 0
    shown = capsys.readouterr().out
    text = "VOID, p3: no speed-up or efficiency: the machine drifted at P = 3: gather at"
    assert text in " ".join(shown.split())
    (line,) = (line for line in shown.splitlines() if line.startswith("p3 ") and "2/2" in line)
    assert line.split()[-3:] == ["–", "–", "–"]
    study = load_scaling(folder)
    rows = summarise_scaling(study)
    figure, caption = SCALING_FIGURES["speedup_and_efficiency"](study, rows)
    assert text in caption
    for axes in figure.axes:
        if "time" not in axes.get_ylabel():
            marks = {
                float(x)
                for line in axes.lines
                if line.get_marker() == "o"
                for x in line.get_xdata()
            }
            assert marks == {2.0, 5.0}


def test_a_void_study_draws_no_claim(write_study):
    pytest.importorskip("matplotlib")
    from analysis.figures import SCALING_FIGURES

    study = load_scaling(write_study(study_void=["another binding"]))
    figure, _ = SCALING_FIGURES["speedup_and_efficiency"](study, summarise_scaling(study))
    for axes in figure.axes:
        if "time" not in axes.get_ylabel():
            assert not [line for line in axes.lines if line.get_marker() == "o"]
