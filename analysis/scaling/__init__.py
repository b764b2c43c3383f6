"""Scaling studies: times, speed-up, efficiency, and bounds of phases."""

from analysis.scaling.load import CaseRuns, ScalingStudy, load_scaling
from analysis.scaling.summary import CaseSummary, PhaseSummary, summarise_scaling, void_lines

__all__ = [
    "CaseRuns",
    "CaseSummary",
    "PhaseSummary",
    "ScalingStudy",
    "load_scaling",
    "summarise_scaling",
    "void_lines",
]
