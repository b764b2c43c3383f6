"""Threads against processors, binding variables, quotas and load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.doctor import RankFacts, Severity
from lad_mpi.doctor.placement import judge_placement


def found(facts):
    return [(f.severity, f.check) for f in judge_placement(facts)]


OK = [(Severity.OK, "placement")]


@pytest.mark.parametrize("count", [1, 2, 16])
def test_ranks_on_processors_of_their_own_are_ok(ranks, count):
    assert found(ranks(count)) == OK


def test_a_single_process_that_may_run_anywhere_is_ok(rank):
    assert found([rank(0, cpus=tuple(range(16)))]) == OK


def test_hosts_do_not_share_processors(rank):
    assert found([rank(0), rank(1, host="n2", cpus=(0,), cores=(0,))]) == OK


def test_more_ranks_than_processors_is_a_warning(ranks):
    (finding,) = judge_placement(ranks(3, cpus=(0, 1), cores=(0, 1), host_cpus=2))
    assert (finding.severity, finding.check) == (Severity.WARNING, "oversubscription")
    assert "ranks 0-2 on n1: 3 threads on processors 0-1" in finding.found
    assert "start at most 2 such ranks there" in finding.fix
    assert "OMP_NUM_THREADS" not in finding.fix
    assert "scheduler" not in finding.fix
    assert (finding.hosts, finding.ranks) == (("n1",), (0, 1, 2))


def test_threads_count_as_much_as_ranks(rank):
    (finding,) = judge_placement([rank(0, cpus=(0, 1), host_cpus=2, blas_threads=8)])
    assert finding.check == "oversubscription"
    assert "OMP_NUM_THREADS" in finding.fix
    assert "start at most" not in finding.fix
    (finding,) = judge_placement([rank(0, cpus=(0, 1), host_cpus=2, kernel_threads=8)])
    assert finding.check == "oversubscription"


def test_ranks_pinned_to_one_of_many_processors_get_a_fix(ranks):
    (finding,) = judge_placement(ranks(2, cpus=(0,), cores=(0,)))
    assert finding.check == "oversubscription"
    assert "16 processors" in finding.fix
    assert "--cpu-bind=cores" in finding.fix


def test_a_crowded_processor_of_an_idle_host_is_found(rank):
    facts = [rank(0, cpus=(0,)), rank(1, cpus=(0,)), rank(2, cpus=(4, 5, 6, 7), blas_threads=4)]
    crowd = next(f for f in judge_placement(facts) if f.severity == Severity.WARNING)
    assert crowd.check == "affinity"
    assert crowd.ranks == (0, 1)
    assert "2 threads on processor 0;" in crowd.found


def test_crowded_processors_of_a_host_are_one_finding(rank):
    facts = [
        rank(n, host=f"n{n // 8}", cpus=(n % 8,), cores=(n % 8,), blas_threads=2) for n in range(16)
    ]
    first, second = judge_placement(facts)
    assert first.ranks == tuple(range(8))
    assert second.ranks == tuple(range(8, 16))
    assert "16 threads on processors 0-7;" in first.found
    assert "OMP_NUM_THREADS" in first.fix
    assert "start at most" not in first.fix


def test_masks_that_overlap_in_part_are_a_warning(rank):
    facts = [rank(0, cpus=(0, 1), cores=(0, 1)), rank(1, cpus=(1, 2), cores=(1, 2))]
    assert (Severity.WARNING, "affinity") in found(facts)
    assert "overlap in processor 1" in judge_placement(facts)[0].found


def test_ranks_that_are_not_bound_are_a_note(ranks):
    (finding,) = judge_placement(ranks(4, cpus=tuple(range(16)), cores=tuple(range(16))))
    assert (finding.severity, finding.check) == (Severity.NOTE, "affinity")
    assert "processors 0-15" in finding.found


def test_hyper_threads_of_one_core_are_a_warning(rank):
    (finding,) = judge_placement([rank(0, cores=(0,)), rank(1, cores=(0,))])
    assert (finding.severity, finding.check) == (Severity.WARNING, "affinity")
    assert "hyper-threads" in finding.found


def test_idle_processors_of_bound_ranks_are_counted(ranks, rank):
    facts = [rank(n, cpus=(4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3), cores=()) for n in (0, 1)]
    (finding,) = judge_placement(facts)
    assert finding.check == "idle processors"
    assert "2 of their 8 processors" in finding.found
    busy = [rank(n, cpus=(2 * n, 2 * n + 1), cores=(), blas_threads=2) for n in (0, 1)]
    assert found(busy) == OK


def test_threads_that_differ_between_ranks_are_a_warning(rank):
    facts = [rank(0), rank(1, cpus=(2, 3), cores=(2, 3), blas_threads=2)]
    assert found(facts) == [(Severity.WARNING, "threads")]


def can_place(masks, threads):
    """Decide by augmenting paths whether every thread gets a processor of its own."""
    slots = [mask for mask, count in zip(masks, threads, strict=True) for _ in range(count)]
    owner = {}

    def place(slot, seen):
        for cpu in slots[slot]:
            if cpu not in seen:
                seen.add(cpu)
                if cpu not in owner or place(owner[cpu], seen):
                    owner[cpu] = slot
                    return True
        return False

    return all(place(slot, set()) for slot in range(len(slots)))


masks = st.sampled_from(
    [(0,), (1,), (0, 1), (2, 3), (0, 1, 2, 3), (4,), (4, 5), (0, 1, 2, 3, 4, 5)]
)


@given(st.lists(st.tuples(masks, st.integers(1, 3)), min_size=1, max_size=5))
def test_with_nested_masks_a_crowd_is_found_exactly_if_threads_do_not_fit(drawn):
    facts = [
        RankFacts(number, "n1", mask, blas_threads=threads, host_cpus=6)
        for number, (mask, threads) in enumerate(drawn)
    ]
    told = any("times are not reliable" in f.found for f in judge_placement(facts))
    assert told != can_place([mask for mask, _ in drawn], [threads for _, threads in drawn])


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (None, OK),
        (8.0, OK),
        (4.0, OK),
        (3.5, [*OK, (Severity.WARNING, "quota")]),
        (0.5, [*OK, (Severity.WARNING, "quota")]),
    ],
)
def test_a_quota_below_the_threads_is_a_warning(ranks, quota, expected):
    assert found(ranks(4, quota_cpus=quota)) == expected


@pytest.mark.parametrize(("load", "is_busy"), [(0.3, False), (12.4, False), (13.0, True)])
def test_a_host_without_processors_to_spare_is_busy(ranks, load, is_busy):
    assert ((Severity.WARNING, "load") in found(ranks(4, load_average=load))) == is_busy


def test_each_host_is_judged_by_itself(rank):
    facts = [rank(0), rank(1, host="n2", load_average=30.0), rank(2, host="n3", quota_cpus=0.5)]
    assert [(f.check, f.hosts) for f in judge_placement(facts)[1:]] == [
        ("load", ("n2",)),
        ("quota", ("n3",)),
    ]


def variables(facts):
    return [f for f in judge_placement(facts) if f.check == "environment"]


FIRES = {
    "outer step": ({"SLURM_CPU_BIND": "quiet,mask_cpu:0x1"}, "outer job step"),
    "cpus per task": ({"SLURM_CPUS_PER_TASK": "8"}, "asked for 8 processors"),
    "gomp": ({"GOMP_CPU_AFFINITY": "0-3"}, "GOMP_CPU_AFFINITY=0-3"),
    "kmp": ({"KMP_AFFINITY": "compact"}, "KMP_AFFINITY=compact"),
    "places": ({"OMP_PROC_BIND": "close", "OMP_PLACES": "{0},{1}"}, "OMP_PROC_BIND=close"),
}


@pytest.mark.parametrize(("environment", "words"), FIRES.values(), ids=FIRES)
def test_variables_that_bind_are_found_once_for_all_ranks(ranks, environment, words):
    (finding,) = variables(ranks(3, environment=environment))
    assert finding.severity == Severity.WARNING
    assert words in finding.found
    assert finding.ranks == (0, 1, 2)


SILENT = {
    "one processor per task": {"SLURM_CPUS_PER_TASK": "1"},
    "off": {"OMP_PROC_BIND": "false", "OMP_PLACES": "{0}"},
    "kmp off": {"KMP_AFFINITY": "disabled"},
    "bound by the launcher": {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
}


@pytest.mark.parametrize("environment", SILENT.values(), ids=SILENT)
def test_variables_that_bind_nothing_are_not_found(ranks, environment):
    assert not variables(ranks(2, environment=environment))


def test_openmp_binds_ranks_that_are_not_bound_to_the_same_processors(ranks):
    everywhere = tuple(range(16))
    environment = {"OMP_PROC_BIND": "true"}
    assert variables(ranks(2, cpus=everywhere, environment=environment))
    assert not variables(ranks(2, environment=environment))
    # A single rank per host shares its processors with no other.
    assert not variables(ranks(1, cpus=everywhere, environment=environment))
    assert not variables(ranks(1, environment={"GOMP_CPU_AFFINITY": "0-3"}))


def test_a_variable_of_some_ranks_names_them(ranks, rank):
    odd = rank(3, host="n2", environment={"SLURM_CPU_BIND": "mask_cpu:0x1"})
    (finding,) = variables([*ranks(3), odd])
    assert (finding.hosts, finding.ranks) == (("n2",), (3,))
    assert finding.found.startswith("rank 3 on n2: ")


def test_servers_on_one_of_several_hosts_share_its_link(rank):
    hosts = ("n1", "n1", "n2", "n2")
    facts = [rank(i, host=host, cpus=(i,), cores=(i,)) for i, host in enumerate(hosts)]
    (finding,) = judge_placement(facts, servers=3)
    assert (finding.severity, finding.check) == (Severity.WARNING, "servers")
    assert (finding.hosts, finding.ranks) == (("n1",), (0, 1))
    assert found(facts) == OK
    assert found([rank(i, cpus=(i,), cores=(i,)) for i in range(4)]) == OK
    apart = [rank(i, host=f"n{i % 2}", cpus=(i,), cores=(i,)) for i in range(4)]
    assert [one.check for one in judge_placement(apart, servers=2)] == ["placement"]
