"""Gradient codes: who computes which subsets, and how the server decodes."""

from lad_mpi.coding.base import (
    Assignment,
    Code,
    Decoded,
    DecodeStatus,
    DecodingCode,
    DispersionCode,
    ExactCode,
)
from lad_mpi.coding.cyclic import Cyclic
from lad_mpi.coding.draco_cyclic import DracoCyclic
from lad_mpi.coding.draco_cyclic_real import DracoCyclicReal
from lad_mpi.coding.draco_repetition import DracoRepetition

#: Every code of the suite by the name that a spec uses.
CODES: dict[str, type[Code]] = {
    "cyclic": Cyclic,
    "draco_cyclic": DracoCyclic,
    "draco_cyclic_real": DracoCyclicReal,
    "draco_repetition": DracoRepetition,
}

__all__ = [
    "CODES",
    "Assignment",
    "Code",
    "Cyclic",
    "DecodeStatus",
    "Decoded",
    "DecodingCode",
    "DispersionCode",
    "DracoCyclic",
    "DracoCyclicReal",
    "DracoRepetition",
    "ExactCode",
]
