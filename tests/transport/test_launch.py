"""The common mistakes of launching are named."""

import pytest

from lad_mpi.errors import TransportError
from lad_mpi.launchers import announced_rank, announced_size, local_rank, local_size
from lad_mpi.transport import open_link


def test_one_process_is_a_world_of_one():
    link = open_link({})
    assert (link.rank, link.size, link.is_server, link.hosts_devices) == (0, 1, True, True)


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_ranks_that_do_not_find_each_other_are_stopped_with_the_fix(variable):
    with pytest.raises(TransportError, match=r"started 4 ranks, but each sees") as caught:
        open_link({variable: "4"})
    assert caught.value.exit_code == 5
    assert "mpirun beside this Python" in caught.value.hint


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
    assert open_link(environ).size == 1


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
