"""Import ByzFL's aggregators and attacks without what only its trainer needs.

The top package of ByzFL 0.0.11 imports PyTorch, torchvision, matplotlib and
seaborn, gigabytes in all. Its aggregators and attacks need NumPy and SciPy, and
of PyTorch, where arrays are NumPy's, only a name to ask ``isinstance`` about.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def import_byzfl() -> tuple[ModuleType, ModuleType]:
    """Import ``byzfl.aggregators`` and ``byzfl.attacks``, as they are installed.

    Empty modules stand for ByzFL's trainer, and for PyTorch unless it is loaded
    already, while the import lasts; afterwards no other package meets them.

    Returns
    -------
    aggregators, attacks : module
    """
    # SciPy looks for PyTorch, so it comes before anything that stands for it.
    importlib.import_module("scipy.spatial.distance")
    stand_ins = {
        name: ModuleType(name)
        for name in ("torch", "torch.linalg", "byzfl.fed_framework", "byzfl.benchmark")
        if name not in sys.modules
    }
    if "torch" in stand_ins:
        stand_ins["torch"].__dict__["Tensor"] = type("Tensor", (), {})
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("byzfl.aggregators"), importlib.import_module(
            "byzfl.attacks"
        )
    finally:
        for name in stand_ins:
            del sys.modules[name]
