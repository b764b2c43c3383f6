"""What MPI says of itself; or why it says nothing."""

import sys

import mpi4py

from lad_mpi.transport import open_link
from lad_mpi.transport.describe import describe_mpi


def test_the_library_is_named_in_full():
    open_link({})
    found = describe_mpi()
    assert found["mpi4py"] == mpi4py.__version__
    assert found["thread_level"] in {"single", "funneled", "serialized", "multiple"}
    assert "\n" not in found["library"]
    assert found["library"]
    assert found["standard"].count(".") == 1


def test_a_library_that_does_not_load_leaves_its_error(monkeypatch):
    # As import leaves it after a failure.
    monkeypatch.setitem(sys.modules, "lad_mpi.transport.mpi", None)
    assert set(describe_mpi()) == {"error"}
