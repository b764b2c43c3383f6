"""The memory of a run is a few messages per device and does not depend on the load."""

import tracemalloc

import numpy as np
import pytest

from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback

NUM_DEVICES, DIMENSION = 2000, 20
MESSAGES_BYTES = NUM_DEVICES * DIMENSION * 8


@pytest.mark.parametrize("assignment", ["random", "fixed"])
@pytest.mark.parametrize("compute", ["shared", "faithful"])
def test_memory_does_not_grow_with_the_load(tmp_path, assignment, compute):
    # Use as many gradients as time allows: at this load a table of all subset numbers would show.
    load = NUM_DEVICES if compute == "shared" else NUM_DEVICES // 3
    spec = parse_spec(
        {
            "iterations": 1,
            "compute": compute,
            "data": {"dimension": DIMENSION},
            "devices": {"count": NUM_DEVICES, "byzantine": 300},
            "coding": {"load": load, "assignment": assignment},
            "optimizer": {"step_size": 1e-9},
        }
    )
    # Do not count imports and compilation of the first run.
    run_spec(spec, Loopback(), tmp_path / "first.h5")
    tracemalloc.start()
    run_spec(spec, Loopback(), tmp_path / "second.h5")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table_bytes = NUM_DEVICES * load * np.dtype(np.int64).itemsize
    assert peak < 16 * MESSAGES_BYTES < table_bytes, peak / MESSAGES_BYTES
