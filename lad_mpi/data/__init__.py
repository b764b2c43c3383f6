"""Data: what a model learns from, and how its samples are split into subsets."""

from lad_mpi.data.base import Dataset, DrawnData, PartlyDrawnData, Samples, StoredData
from lad_mpi.data.bundled import BreastCancer, Diabetes, Digits, Mnist5k, Wine
from lad_mpi.data.file import File
from lad_mpi.data.plan import DataPlan
from lad_mpi.data.samples import make_samples
from lad_mpi.data.synthetic import Synthetic, SyntheticClassification

#: All data of the suite by the name that a spec uses.
DATA: dict[str, type[StoredData] | type[DrawnData]] = {
    "synthetic": Synthetic,
    "synthetic_classification": SyntheticClassification,
    "digits": Digits,
    "breast_cancer": BreastCancer,
    "wine": Wine,
    "diabetes": Diabetes,
    "mnist_5k": Mnist5k,
    "file": File,
}

__all__ = [
    "DATA",
    "BreastCancer",
    "DataPlan",
    "Dataset",
    "Diabetes",
    "Digits",
    "DrawnData",
    "File",
    "Mnist5k",
    "PartlyDrawnData",
    "Samples",
    "StoredData",
    "Synthetic",
    "SyntheticClassification",
    "Wine",
    "make_samples",
]
