"""Opening a link, and describing MPI, with MPI or without."""

import sys

import pytest

from lad_mpi.errors import TransportError
from lad_mpi.transport import describe_mpi, open_link


def test_a_single_process_gets_a_loopback():
    link = open_link({})
    assert (link.rank, link.size, link.is_server) == (0, 1, True)


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_ranks_that_do_not_find_each_other_are_refused_with_the_fix(variable):
    with pytest.raises(TransportError, match=r"started 4 ranks, but each sees") as caught:
        open_link({variable: "4"})
    assert caught.value.exit_code == 5
    assert "mpirun beside this Python" in caught.value.hint


def test_the_description_of_the_library_is_complete():
    open_link({})
    found = describe_mpi()
    assert "\n" not in found["library"]
    assert found["library"]
    assert found["standard"].count(".") == 1


def test_a_library_that_does_not_load_is_described_by_its_error(monkeypatch):
    # A failed import leaves None.
    monkeypatch.setitem(sys.modules, "lad_mpi.transport.mpi", None)
    assert set(describe_mpi()) == {"error"}
