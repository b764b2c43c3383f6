"""Scaling studies: separate launches of a spec on several numbers of ranks."""

from lad_mpi.measure.scale.launcher import LaunchCommand, default_launcher
from lad_mpi.measure.scale.plan import (
    Planned,
    ScalePlan,
    parse_axis,
    plan_scaling,
    planned_launches,
)
from lad_mpi.measure.scale.run import ScaleOptions, ScaleProgress, run_scaling
from lad_mpi.measure.scale.verify import difference

__all__ = [
    "LaunchCommand",
    "Planned",
    "ScaleOptions",
    "ScalePlan",
    "ScaleProgress",
    "default_launcher",
    "difference",
    "parse_axis",
    "plan_scaling",
    "planned_launches",
    "run_scaling",
]
