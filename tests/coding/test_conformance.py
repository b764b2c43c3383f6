"""The laws of gradient codes, over all of the suite's own."""

import dataclasses
import importlib
import pkgutil

import lad_mpi.coding
from lad_mpi import conformance
from lad_mpi.coding import (
    CODES,
    Cyclic,
    DecodingCode,
    DracoCyclic,
    DracoCyclicReal,
    DracoRepetition,
)

TestCyclic = conformance.code(Cyclic)
TestCyclicOfSomeSubsets = conformance.code(Cyclic, make=lambda: Cyclic(5))
TestCyclicOfAllSubsets = conformance.code(Cyclic, make=lambda: Cyclic(23))
TestCyclicFixed = conformance.code(Cyclic, make=lambda: Cyclic(5, "fixed"))
TestDracoCyclic = conformance.code(DracoCyclic)
TestDracoCyclicReal = conformance.code(DracoCyclicReal)
TestDracoRepetition = conformance.code(DracoRepetition)


def test_every_code_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == set(CODES.values())


def test_the_table_is_complete():
    found = set()
    for module in pkgutil.iter_modules(lad_mpi.coding.__path__):
        contents = vars(importlib.import_module(f"lad_mpi.coding.{module.name}"))
        found |= {
            value
            for value in contents.values()
            if dataclasses.is_dataclass(value) and hasattr(value, "kind")
        }
    assert found == set(CODES.values())
    assert all(cls.kind == kind for kind, cls in CODES.items())


def test_all_but_the_cyclic_code_decode():
    # It leaves the estimate to a rule.
    decoding = {kind for kind, cls in CODES.items() if isinstance(cls(), DecodingCode)}
    assert decoding == set(CODES) - {"cyclic"}
