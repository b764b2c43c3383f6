"""Bounds from a machine of round numbers."""

import dataclasses

import pytest

from analysis.scaling.bounds import Sizes, phase_bounds, sizes_of
from lad_mpi.logs import read_log
from lad_mpi.network import Network
from lad_mpi.problems import GradientWork
from lad_mpi.records import Baseline, Quantity

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
SIZES = Sizes(
    devices=10, hosted=5, load=2, gradient=GradientWork(3, 12_000, 3000, "gemv"),
    dimension=1000, values=1000, item_bytes=8, uplink_bytes=100, downlink_bytes=100,
    gram=False, several=True,
)  # fmt: skip


def test_every_phase_has_the_bound_that_its_formula_says():
    bounds = phase_bounds(SIZES, MACHINE, 3)
    assert bounds["compute"] == pytest.approx(10 * 3 * 1000 * 8 / 5e8)
    assert bounds["encode"] == pytest.approx(5 * 2 * 8000 / 5e9 + 5 * 8000 / 5e8)
    assert bounds["pack"] == pytest.approx((5 * 8000 + 50) / 5e8)
    assert bounds["unpack"] == pytest.approx((100 + 10 * 8000) / 1e9)
    assert bounds["aggregate"] == pytest.approx(10 * 8000 / 1e9)
    assert bounds["update"] == pytest.approx(3 * 8000 / 1e9)
    assert bounds["communication"] == pytest.approx(1.1e-2)


def test_operations_bound_where_they_take_longer_than_bytes():
    many = dataclasses.replace(SIZES, load=1000)
    assert phase_bounds(many, MACHINE, 3)["compute"] == pytest.approx(4 * 5 * 1000 * 3 * 1000 / 5e9)
    gram = dataclasses.replace(SIZES, gram=True, devices=1000, uplink_bytes=1e4)
    assert phase_bounds(gram, MACHINE, 3)["aggregate"] == pytest.approx(1000 * 1001 * 1000 / 1e10)


def test_one_device_rank_is_bounded_by_what_one_can_do_alone():
    alone = dataclasses.replace(SIZES, several=False)
    assert phase_bounds(alone, MACHINE, 2)["compute"] == pytest.approx(10 * 3 * 1000 * 8 / 1e9)


def test_float32_halves_bytes_and_doubles_the_rate():
    single = dataclasses.replace(SIZES, item_bytes=4, load=1000)
    assert phase_bounds(single, MACHINE, 3)["compute"] == pytest.approx(4 * 5e6 * 3 / 1e10)


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
    assert sizes_of(run) == Sizes(
        devices=10, hosted=4, load=2.0, gradient=GradientWork(1, 400, 100, "gemv"),
        dimension=100, values=100, item_bytes=8,
        uplink_bytes=1000.0, downlink_bytes=10.0, gram=gram, several=True,
    )  # fmt: skip


def test_gram_rules_are_known_through_pre_aggregations_too(write_run):
    pipeline = {"kind": "trimmed_mean", "pre": [{"kind": "nnm"}]}
    assert sizes_of(read_log(write_run(aggregation=pipeline))).gram


@pytest.mark.parametrize(
    "changes",
    [
        {"problem": {"kind": "linear_regression", "data": "diabetes"}},
        {"problem": {"kind": "of another package"}},
        {"backend": {"kind": "cupy"}},
    ],
)
def test_runs_without_known_bounds_have_none(write_run, changes):
    assert sizes_of(read_log(write_run(**changes))) is None
