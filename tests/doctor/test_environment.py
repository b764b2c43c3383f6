"""Variables that bind behind the launcher's back."""

import pytest

from lad_mpi.doctor import Severity
from lad_mpi.doctor.environment import judge_environment


def fires(facts, word):
    return [f for f in judge_environment(facts) if f.severity > Severity.OK and word in f.found]


def with_variables(ranks, count=2, **variables):
    return ranks(count, environment={name: str(value) for name, value in variables.items()})


def test_a_clean_environment_is_well(ranks):
    (finding,) = judge_environment(ranks(3, environment={"OMP_NUM_THREADS": "4"}))
    assert finding.severity == Severity.OK


FIRES = {
    "outer step": ({"SLURM_CPU_BIND": "quiet,mask_cpu:0x1"}, "outer job step", Severity.WARNING),
    "interactive step": (
        {"SLURM_CPU_BIND_TYPE": "mask_cpu:", "SLURM_STEP_ID": 4294967290},
        "outer job step",
        Severity.WARNING,
    ),
    "cpus per task": (
        {"SLURM_CPUS_PER_TASK": 8, "SLURM_JOB_ID": 1},
        "asked for 8 processors",
        Severity.WARNING,
    ),
    "cpus per task in a step": (
        {"SLURM_CPUS_PER_TASK": 8, "SLURM_STEP_ID": 0},
        "asked for 8 processors",
        Severity.WARNING,
    ),
    "gomp": ({"GOMP_CPU_AFFINITY": "0-3"}, "the same processors for every rank", Severity.WARNING),
    "kmp": ({"KMP_AFFINITY": "compact"}, "the same processors for every rank", Severity.WARNING),
    "few places": (
        {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores(0)"},
        "0 OMP_PLACES for 1 threads",
        Severity.WARNING,
    ),
    "hydra": ({"HYDRA_BINDING": "socket"}, "HYDRA_BINDING=socket", Severity.NOTE),
    "open mpi": (
        {"PRTE_MCA_hwloc_default_binding_policy": "none"},
        "default_binding_policy=none",
        Severity.NOTE,
    ),
    "intel": ({"I_MPI_PIN_DOMAIN": "omp"}, "I_MPI_PIN_DOMAIN=omp", Severity.NOTE),
    "distribution": ({"SLURM_DISTRIBUTION": "cyclic"}, "SLURM_DISTRIBUTION", Severity.NOTE),
}


@pytest.mark.parametrize(("variables", "words", "severity"), FIRES.values(), ids=FIRES)
def test_what_binds_is_found_once_for_all_ranks(ranks, variables, words, severity):
    (finding,) = fires(with_variables(ranks, 3, **variables), words)
    assert finding.severity == severity
    # What all have alike is no matter of certain ranks.
    assert finding.ranks == ()


SILENT = {
    "in a step of its own": {"SLURM_CPU_BIND": "quiet,mask_cpu:0x1", "SLURM_STEP_ID": 0},
    "exported": {"SLURM_CPUS_PER_TASK": 8, "SRUN_CPUS_PER_TASK": 8},
    "one processor a task": {"SLURM_CPUS_PER_TASK": 1},
    "given in full": {"SLURM_CPUS_PER_TASK": 1, "SLURM_STEP_ID": 3},
    "record of a step": {"SLURM_DISTRIBUTION": "block", "SLURM_STEP_ID": 1},
    "off": {"OMP_PROC_BIND": "false", "OMP_PLACES": "{0}"},
    "kmp off": {"KMP_AFFINITY": "disabled"},
    "places enough": {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
}


@pytest.mark.parametrize("variables", SILENT.values(), ids=SILENT)
def test_what_binds_nothing_is_not_found(ranks, variables):
    (finding,) = judge_environment(with_variables(ranks, **variables))
    assert finding.severity == Severity.OK


def test_a_step_that_gave_what_was_asked_for_is_well(rank):
    variables = {"SLURM_CPUS_PER_TASK": "2", "SLURM_STEP_ID": "0"}
    assert fires([rank(0, cpus=(0,), environment=variables)], "asked for 2")
    assert not fires([rank(0, cpus=(0, 1), environment=variables)], "asked for 2")


@pytest.mark.parametrize(
    ("places", "threads", "told"),
    [
        ("{0},{1}", 4, True),
        ("{0:2},{2:2},{4:2},{6:2}", 4, False),
        ("{0:2}:4:2", 4, False),
        ("{0}:3", 4, True),
        ("threads(3)", 4, True),
        ("cores(4)", 4, False),
        ("sockets", 4, False),
    ],
)
def test_places_of_openmp_are_counted(rank, places, threads, told):
    variables = {"OMP_PROC_BIND": "spread", "OMP_PLACES": places}
    facts = [rank(0, blas_threads=threads, environment=variables)]
    assert bool(fires(facts, f"OMP_PLACES for {threads} threads")) == told


def test_openmp_binds_ranks_that_are_not_bound_to_the_same_processors(ranks):
    everywhere = tuple(range(16))
    variables = {"OMP_PROC_BIND": "true"}
    assert fires(ranks(2, cpus=everywhere, environment=variables), "the same first processors")
    assert not fires(ranks(2, environment=variables), "the same first processors")
    assert not fires(ranks(1, cpus=everywhere, environment=variables), "the same first processors")


def test_a_list_of_processors_is_only_a_note_for_a_rank_alone(ranks):
    (finding,) = fires(with_variables(ranks, 1, GOMP_CPU_AFFINITY="0-3"), "GOMP_CPU_AFFINITY")
    assert finding.severity == Severity.NOTE


def test_a_variable_of_some_ranks_names_them(ranks, rank):
    odd = rank(3, host="n2", environment={"HYDRA_BINDING": "core"})
    (finding,) = fires([*ranks(3), odd], "HYDRA_BINDING")
    assert (finding.hosts, finding.ranks) == (("n2",), (3,))
    assert finding.found.endswith("(rank 3)")
