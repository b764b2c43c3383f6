"""What a forecast takes from logs, and what it leaves out."""

import pytest

from analysis.forecast.observe import OVERHEAD, hosted_devices, observe, observe_others
from lad_mpi.errors import UsageError
from lad_mpi.network import Network
from lad_mpi.spec import parse_where

# Of the log fixture: 0.1 s broadcast, 2 s compute, 0.5 s aggregate on 3 ranks, 3.6 s in all.
NETWORK = {"emulate": {"latency": "100ms", "bandwidth": "5kB/s"}}


@pytest.fixture
def folder(write_run, tmp_path):
    """Two methods with two seeds each."""
    for load in (1, 5):
        for seed in (1, 2):
            write_run(f"{load}-{seed}.h5", name=f"LAD d={load}", seed=seed, coding={"load": load})
    return tmp_path / "study"


def test_methods_keep_their_names_and_seeds_are_launches(folder):
    found = observe([folder])
    assert [(case.method, len(case.launches)) for case in found.cases] == [
        ("LAD d=1", 2), ("LAD d=5", 2),
    ]  # fmt: skip
    case = found.cases[0]
    assert (case.ranks, case.devices, case.hosted, case.network) == (3, 10, 5, None)
    assert (case.uplink_bytes, case.downlink_bytes) == (1000, 10)
    first = case.launches[0]
    assert (first["compute"], first["aggregate"]) == (2.0, 0.5)
    # The iteration takes 3.6 s, and the rest of it is no work.
    assert first[OVERHEAD] == pytest.approx(3.6 - 2.5)
    assert case.totals_s == pytest.approx([3.6, 3.6])
    assert found.void == ()


def test_the_time_of_an_emulated_network_is_no_overhead(write_run, tmp_path):
    for ranks in (1, 3):
        write_run(f"{ranks}.h5", ranks=ranks, network=NETWORK)
    one, three = sorted(observe([tmp_path / "study"]).cases, key=lambda case: case.ranks)
    assert three.network == Network(0.1, 5000.0)
    # Four steps of a tree over eleven machines, and 1000 bytes on one link.
    sent = 4 * (0.1 + 10 / 5000) + 0.1 + 1000 / 5000
    assert three.launches[0][OVERHEAD] == pytest.approx(1.1 - sent)
    assert three.totals_s == pytest.approx([3.6])
    # On one rank, broadcast and gather are communication, too.
    assert one.launches[0]["aggregate"] == 0.5
    assert one.launches[0][OVERHEAD] == pytest.approx(3.6 - 0.5 - sent)


def test_networks_and_ranks_are_cases_of_one_method(folder, write_run):
    for seed in (1, 2):
        write_run(f"n{seed}.h5", name="LAD d=1", seed=seed, coding={"load": 1}, network=NETWORK)
    write_run("p.h5", name="LAD d=1", ranks=5, coding={"load": 1})
    cases = [case for case in observe([folder]).cases if case.method == "LAD d=1"]
    assert {(case.ranks, case.network is None, len(case.launches)) for case in cases} == {
        (3, True, 2), (3, False, 2), (5, True, 1),
    }  # fmt: skip


def test_runs_are_selected_by_a_condition(folder):
    found = observe([folder], parse_where("coding.load=5"))
    assert [case.method for case in found.cases] == ["LAD d=5"]
    with pytest.raises(UsageError, match=r"no run of 4 fulfils --where 'coding\.load=7'"):
        observe([folder], parse_where("coding.load=7"))
    with pytest.raises(UsageError, match=r"did you mean 'coding\.load'"):
        observe([folder], parse_where("coding.loda=7"))


def test_what_the_logs_leave_in_doubt_is_said(write_run, tmp_path):
    for seed in (1, 2):
        write_run(f"{seed}.h5", seed=seed, provenance={"git_revision": "0" * 40, "git_dirty": True})
    notes = observe([tmp_path / "study"]).notes
    assert any("uncommitted changes" in note for note in notes)


def test_a_check_uses_none_of_the_runs_of_the_forecast(folder):
    used = observe([folder], parse_where("coding.load=5"))
    assert [case.method for case in observe_others([folder], used).cases] == ["LAD d=1"]
    with pytest.raises(UsageError, match="starts from all of these runs"):
        observe_others([folder], observe([folder]))


def test_runs_of_two_machines_are_not_mixed(folder, write_run):
    write_run("other.h5", provenance={"cpu_model": "another"})
    with pytest.raises(UsageError, match="different machines"):
        observe([folder])


def test_oversubscribed_cases_are_left_out_or_make_no_claim(folder, write_run, tmp_path):
    write_run("crowded.h5", ranks=5, provenance={"oversubscribed": True})
    found = observe([folder])
    assert {case.ranks for case in found.cases} == {3}
    assert any("P = 5: oversubscribed" in line for line in found.excluded)
    write_run("c/1.h5", provenance={"oversubscribed": True})
    (reason,) = observe([tmp_path / "study" / "c"]).void
    assert "oversubscribed" in reason


def test_a_log_with_a_damaged_network_is_left_out(folder, write_run):
    write_run("odd.h5", name="odd", network={"emulate": {"latency": "soon"}})
    found = observe([folder])
    assert "odd" not in {case.method for case in found.cases}
    assert any("odd.h5" in line and "soon" in line for line in found.excluded)


@pytest.mark.parametrize(("ranks", "hosted"), [(1, 10), (2, 10), (3, 5), (4, 4), (11, 1)])
def test_devices_are_divided_among_all_ranks_but_the_server(ranks, hosted):
    assert hosted_devices(10, ranks) == hosted
