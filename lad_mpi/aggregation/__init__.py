"""Aggregation rules: N messages in, one estimate of ∇F out, whatever f of them hold."""

from lad_mpi.aggregation.base import PreAggregation, Rule, check_messages, check_minority
from lad_mpi.aggregation.geometric_median import GeometricMedian, GeometricMedianSolution
from lad_mpi.aggregation.krum import Krum
from lad_mpi.aggregation.mean import Mean
from lad_mpi.aggregation.median import Median
from lad_mpi.aggregation.multi_krum import MultiKrum
from lad_mpi.aggregation.nnm import NearestNeighbourMixing
from lad_mpi.aggregation.norm_threshold import NormThreshold
from lad_mpi.aggregation.pipeline import Pipeline
from lad_mpi.aggregation.trimmed_mean import TrimmedMean

#: Every rule of the suite by the name that a spec uses.
RULES: dict[str, type[Rule]] = {
    "mean": Mean,
    "trimmed_mean": TrimmedMean,
    "median": Median,
    "geometric_median": GeometricMedian,
    "krum": Krum,
    "multi_krum": MultiKrum,
    "norm_threshold": NormThreshold,
}

#: Every pre-aggregation of the suite by the name that a spec uses.
PRE_AGGREGATIONS: dict[str, type[PreAggregation]] = {
    "nnm": NearestNeighbourMixing,
}

__all__ = [
    "PRE_AGGREGATIONS",
    "RULES",
    "GeometricMedian",
    "GeometricMedianSolution",
    "Krum",
    "Mean",
    "Median",
    "MultiKrum",
    "NearestNeighbourMixing",
    "NormThreshold",
    "Pipeline",
    "PreAggregation",
    "Rule",
    "TrimmedMean",
    "check_messages",
    "check_minority",
]
