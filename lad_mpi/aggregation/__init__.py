"""Aggregation rules: N messages in, one estimate of ∇F out, with up to f arbitrary ones."""

from lad_mpi.aggregation.arc import AdaptiveClipping
from lad_mpi.aggregation.base import (
    Aggregated,
    CoordinateWiseRule,
    CostedPreAggregation,
    CostedRule,
    MixingPreAggregation,
    PreAggregation,
    RandomisedPreAggregation,
    ReportingRule,
    RobustRule,
    Rule,
    StatefulRule,
    check_messages,
    check_minority,
)
from lad_mpi.aggregation.bucketing import Bucketing
from lad_mpi.aggregation.caf import CovarianceFilter
from lad_mpi.aggregation.centered_clipping import CenteredClipping
from lad_mpi.aggregation.clip import Clip
from lad_mpi.aggregation.cost import Cost, Term
from lad_mpi.aggregation.geometric_median import GeometricMedian, GeometricMedianSolution
from lad_mpi.aggregation.krum import Krum
from lad_mpi.aggregation.mda import MinimumDiameterAveraging
from lad_mpi.aggregation.meamed import Meamed
from lad_mpi.aggregation.mean import Mean
from lad_mpi.aggregation.median import Median
from lad_mpi.aggregation.monna import MoNNA
from lad_mpi.aggregation.multi_krum import MultiKrum
from lad_mpi.aggregation.nnm import NearestNeighbourMixing
from lad_mpi.aggregation.norm_threshold import NormThreshold
from lad_mpi.aggregation.pipeline import Pipeline
from lad_mpi.aggregation.rows import finite_rows
from lad_mpi.aggregation.smea import SmallestMaximumEigenvalueAveraging
from lad_mpi.aggregation.trimmed_mean import TrimmedMean

#: Every rule of the suite by the name that a spec uses.
RULES: dict[str, type[Rule]] = {
    "mean": Mean,
    "trimmed_mean": TrimmedMean,
    "median": Median,
    "meamed": Meamed,
    "geometric_median": GeometricMedian,
    "krum": Krum,
    "multi_krum": MultiKrum,
    "centered_clipping": CenteredClipping,
    "mda": MinimumDiameterAveraging,
    "monna": MoNNA,
    "caf": CovarianceFilter,
    "smea": SmallestMaximumEigenvalueAveraging,
    "norm_threshold": NormThreshold,
}

#: Every pre-aggregation of the suite by the name that a spec uses.
PRE_AGGREGATIONS: dict[str, type[PreAggregation]] = {
    "nnm": NearestNeighbourMixing,
    "bucketing": Bucketing,
    "clip": Clip,
    "arc": AdaptiveClipping,
}

__all__ = [
    "PRE_AGGREGATIONS",
    "RULES",
    "AdaptiveClipping",
    "Aggregated",
    "Bucketing",
    "CenteredClipping",
    "Clip",
    "CoordinateWiseRule",
    "Cost",
    "CostedPreAggregation",
    "CostedRule",
    "CovarianceFilter",
    "GeometricMedian",
    "GeometricMedianSolution",
    "Krum",
    "Meamed",
    "Mean",
    "Median",
    "MinimumDiameterAveraging",
    "MixingPreAggregation",
    "MoNNA",
    "MultiKrum",
    "NearestNeighbourMixing",
    "NormThreshold",
    "Pipeline",
    "PreAggregation",
    "RandomisedPreAggregation",
    "ReportingRule",
    "RobustRule",
    "Rule",
    "SmallestMaximumEigenvalueAveraging",
    "StatefulRule",
    "Term",
    "TrimmedMean",
    "check_messages",
    "check_minority",
    "finite_rows",
]
