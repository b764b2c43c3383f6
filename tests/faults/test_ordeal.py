"""Runs that are killed, stopped and interrupted have the same results as others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ordeal
import victim

pytestmark = pytest.mark.skipif(ordeal.MPIRUN is None, reason="no mpirun beside this Python")


@pytest.mark.parametrize("seed", range(6))
def test_a_run_survives_its_ordeal(seed):
    tally = ordeal.Tally()
    ordeal.suffer(seed, tally)
    assert tally.findings == []
    assert tally.identical_ends == tally.ends == 1


@pytest.mark.parametrize("point", [name for name in victim.POINTS if name != "rows carried"])
def test_the_server_may_be_killed_at_any_point(point, tmp_path):
    """Points in the MPI transport need two ranks; all others run in a single process."""
    if victim.POINTS[point][0] == "lad_mpi.transport.mpi":
        ranks, call = 2, 0 if point == "left" else 3
    else:
        ranks, call = 1, 0
    (tmp_path / "spec.toml").write_text(ordeal.SPEC)
    tally = ordeal.Tally()
    fault = ordeal.Fault(point, 0, call, "kill")
    done, _ = ordeal.launch(tmp_path, ranks, fault)
    assert done is not None
    assert f"victim: kill at {point}" in done.stderr
    assert done.returncode != 0
    ordeal._check_log(point, tmp_path / "run.h5", complete=False, tally=tally)
    again, _ = ordeal.launch(tmp_path, 1, None)
    assert again is not None
    assert again.returncode == 0, again.stderr
    if point in {"outcome named", "left"}:
        assert "is already complete" in again.stderr
    ordeal._check_log(point, tmp_path / "run.h5", complete=True, tally=tally)
    assert tally.findings == []
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["run.h5", "spec.toml"]
