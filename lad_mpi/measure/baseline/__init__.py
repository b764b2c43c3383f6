"""What the machine can do: memory, arithmetic, messages, files, GPU."""

from lad_mpi.measure.baseline.effort import FULL, QUICK, Effort
from lad_mpi.measure.baseline.measure import measure_baseline

__all__ = ["FULL", "QUICK", "Effort", "measure_baseline"]
