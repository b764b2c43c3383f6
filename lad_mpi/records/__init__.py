"""JSON records of measurements: baselines and scaling studies."""

from lad_mpi.records.baseline import (
    DRIFT_THRESHOLD,
    Baseline,
    Drift,
    Quantity,
    compare_baselines,
    read_baseline,
    write_baseline,
)
from lad_mpi.records.files import read_record, write_record
from lad_mpi.records.scaling import (
    ScalingCase,
    ScalingLaunch,
    ScalingRecord,
    read_scaling,
    write_scaling,
)

__all__ = [
    "DRIFT_THRESHOLD",
    "Baseline",
    "Drift",
    "Quantity",
    "ScalingCase",
    "ScalingLaunch",
    "ScalingRecord",
    "compare_baselines",
    "read_baseline",
    "read_record",
    "read_scaling",
    "write_baseline",
    "write_record",
    "write_scaling",
]
