"""The variables of launchers and schedulers."""

import pytest

from lad_mpi import launchers
from lad_mpi.launchers import (
    announced_rank,
    announced_size,
    ignored_cpus_per_task,
    inherited_binding,
    job_id,
    local_rank,
    local_size,
    without_job,
    without_step,
)


def test_the_innermost_launcher_counts():
    # As in an sbatch script, or an srun step, that calls mpirun.
    environ = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "PMI_SIZE": "1",
        "PMI_RANK": "2",
        "MPI_LOCALRANKID": "3",
    }
    found = announced_size(environ), announced_rank(environ), local_rank(environ)
    assert found == (1, 2, 3)


def test_variables_that_are_no_numbers_announce_nothing():
    assert announced_size({"PMI_SIZE": "many", "OTHER": "9"}) == 1


@pytest.mark.parametrize(
    ("environ", "ranks"),
    [
        ({}, 1),
        ({"PMI_SIZE": "5", "MPI_LOCALNRANKS": "3"}, 3),
        ({"OMPI_COMM_WORLD_SIZE": "5", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 2),
        ({"SLURM_STEP_NUM_TASKS": "7", "SLURM_STEP_TASKS_PER_NODE": "3(x2),1"}, 0),
        (
            {
                "SLURM_STEP_NUM_TASKS": "7",
                "SLURM_STEP_TASKS_PER_NODE": "3(x2),1",
                "SLURM_NODEID": "1",
            },
            3,
        ),
        (
            {
                "SLURM_STEP_NUM_TASKS": "7",
                "SLURM_STEP_TASKS_PER_NODE": "3(x2),1",
                "SLURM_NODEID": "2",
            },
            1,
        ),
        ({"PMI_SIZE": "5"}, 0),
    ],
)
def test_the_ranks_of_a_node_are_counted_as_the_launcher_says(environ, ranks):
    assert local_size(environ) == ranks


def test_the_job_is_found_under_every_scheduler():
    assert job_id({}) == ""
    for variable in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"):
        assert job_id({variable: "7"}) == "7"


ANNOUNCED = {"PMI_RANK": "1", "PMIX_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "SLURM_PROCID": "1"}
JOB = {"SLURM_JOB_ID": "7", "PBS_NODEFILE": "x", "FLUX_URI": "x", "HYDRA_HOST_FILE": "x"}
OF_A_RANK = {"OMPI_MCA_ess_base_jobid": "1", "PRTE_MCA_plm": "x", "OMPI_UNIVERSE_SIZE": "2"}
SETTINGS = {
    "OMPI_MCA_pml": "ob1",
    "PRTE_MCA_x": "1",
    "PMIX_MCA_gds": "hash",
    "MPIR_CVAR_ENABLE_GPU": "1",
    "CUDA_VISIBLE_DEVICES": "3",
    "PATH": "/bin",
}


def test_a_new_launcher_in_a_job_inherits_the_job_but_no_rank():
    environ = {**ANNOUNCED, **JOB, **SETTINGS, "SLURM_CPU_BIND_LIST": "0x1"}
    kept = {**JOB, **SETTINGS}
    del kept["PMIX_MCA_gds"]
    assert without_step(environ) == kept


def test_a_new_launcher_on_this_host_inherits_settings_alone():
    assert without_job({**ANNOUNCED, **JOB, **OF_A_RANK, **SETTINGS}) == SETTINGS


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"SLURM_CPU_BIND": "quiet,mask_cpu:0x1"}, ["SLURM_CPU_BIND"]),
        ({"SLURM_CPU_BIND": "mask_cpu:0x1", "SLURM_STEP_ID": "4294967290"}, ["SLURM_CPU_BIND"]),
        ({"SLURM_CPU_BIND": "mask_cpu:0x1", "SLURM_STEP_ID": "0"}, []),
        ({"OMP_NUM_THREADS": "4"}, []),
    ],
    ids=["script", "interactive step", "step of srun", "nothing"],
)
def test_only_the_binding_of_an_outer_step_is_inherited(environ, found):
    assert inherited_binding(environ) == found


@pytest.mark.parametrize(
    ("environ", "given", "ignored"),
    [
        ({"SLURM_CPUS_PER_TASK": "8"}, 8, 8),
        ({"SLURM_CPUS_PER_TASK": "8", "SRUN_CPUS_PER_TASK": "8"}, 1, 0),
        ({"SLURM_CPUS_PER_TASK": "1"}, 1, 0),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_STEP_ID": "0"}, 1, 2),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_STEP_ID": "0"}, 2, 0),
        ({}, 1, 0),
    ],
)
def test_processors_of_a_task_that_srun_does_not_read_are_found(environ, given, ignored):
    assert ignored_cpus_per_task(environ, given) == ignored


@pytest.mark.parametrize(("size", "pauses"), [("3", [launchers._READ_BEFORE_ABORT_S]), ("1", [])])
def test_the_launcher_gets_time_to_read_a_message(monkeypatch, capsys, size, pauses):
    slept = []
    monkeypatch.setenv("PMI_SIZE", size)
    monkeypatch.setattr(launchers.time, "sleep", slept.append)
    launchers.say_before_abort("the end\n")
    assert capsys.readouterr().err == "the end\n"
    assert slept == pauses
