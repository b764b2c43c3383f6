"""Threads against processors, on hosts that were made up and on ones that were drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lad_mpi.doctor import RankFacts, Severity
from lad_mpi.doctor.placement import judge_placement


def found(facts):
    return [(f.severity, f.check) for f in judge_placement(facts)]


OK = [(Severity.OK, "placement")]


@pytest.mark.parametrize("count", [1, 2, 16])
def test_ranks_on_processors_of_their_own_are_well(ranks, count):
    assert found(ranks(count)) == OK


def test_a_single_process_that_may_run_anywhere_is_well(rank):
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
    assert "ranks" not in finding.fix
    (finding,) = judge_placement([rank(0, cpus=(0, 1), host_cpus=2, kernel_threads=8)])
    assert finding.check == "oversubscription"


def test_ranks_pinned_to_one_processor_of_many_are_told_how_to_get_more(ranks):
    (finding,) = judge_placement(ranks(2, cpus=(0,), cores=(0,)))
    assert finding.check == "oversubscription"
    assert "16 processors" in finding.fix
    assert "--cpu-bind=cores" in finding.fix


def test_a_crowd_in_a_corner_of_an_idle_host_is_found(rank):
    facts = [rank(0, cpus=(0,)), rank(1, cpus=(0,)), rank(2, cpus=(4, 5, 6, 7), blas_threads=4)]
    crowd = next(f for f in judge_placement(facts) if f.severity == Severity.WARNING)
    assert crowd.check == "affinity"
    assert crowd.ranks == (0, 1)
    assert "2 threads on processor 0;" in crowd.found


def test_crowds_of_one_kind_are_told_once_a_host(rank):
    facts = [
        rank(n, host=f"n{n // 8}", cpus=(n % 8,), cores=(n % 8,), blas_threads=2) for n in range(16)
    ]
    first, second = judge_placement(facts)
    assert first.ranks == tuple(range(8))
    assert second.ranks == tuple(range(8, 16))
    assert "2 threads on each of 8 sets of 1 among processors 0-7;" in first.found
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
    assert "6 of their 8 processors idle" in finding.found
    busy = [rank(n, cpus=(2 * n, 2 * n + 1), cores=(), blas_threads=2) for n in (0, 1)]
    assert found(busy) == OK


def test_threads_that_differ_between_ranks_are_a_warning(rank):
    facts = [rank(0), rank(1, cpus=(2, 3), cores=(2, 3), blas_threads=2)]
    assert (Severity.WARNING, "threads") in found(facts)
    assert (Severity.NOTE, "affinity") in found(facts)


def can_place(masks, threads):
    """Whether every thread gets a processor of its own, by augmenting paths."""
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
def test_where_masks_nest_a_crowd_is_told_exactly_when_threads_do_not_fit(drawn):
    facts = [
        RankFacts(number, "n1", mask, blas_threads=threads, host_cpus=6)
        for number, (mask, threads) in enumerate(drawn)
    ]
    told = any("times are those of a crowd" in f.found for f in judge_placement(facts))
    assert told != can_place([mask for mask, _ in drawn], [threads for _, threads in drawn])
