"""The laws of models over all of the suite's own."""

import dataclasses
import importlib
import pkgutil

import pytest

import lad_mpi.models
from lad_mpi import conformance
from lad_mpi.models import (
    MODELS,
    LinearRegression,
    LogisticRegression,
    Mlp,
    SoftmaxRegression,
)
from lad_mpi.types import SampleForm

#: Put to the test where PyTorch is installed.
ELSEWHERE = {"torch"}

TestLinearRegression = conformance.model(LinearRegression)
TestRidgeRegression = conformance.model(LinearRegression, make=lambda: LinearRegression(l2=0.1))
TestOneFeature = conformance.model(LinearRegression, form=SampleForm((1,)))
TestManyFeatures = conformance.model(LinearRegression, form=SampleForm((17, 59)))
TestLogisticRegression = conformance.model(LogisticRegression, form=SampleForm((6,), 2))
TestManyFeaturesOfTwoClasses = conformance.model(LogisticRegression, form=SampleForm((1001,), 2))
TestSoftmaxRegression = conformance.model(SoftmaxRegression)
TestTwoClasses = conformance.model(SoftmaxRegression, form=SampleForm((1,), 2))
TestDigits = conformance.model(SoftmaxRegression, form=SampleForm((8, 8), 10))
TestMlp = conformance.model(Mlp)
TestSmallMlp = conformance.model(Mlp, make=lambda: Mlp((5,), "tanh"), form=SampleForm((8, 8), 10))
TestDeepMlp = conformance.model(Mlp, make=lambda: Mlp((4, 3)))
TestDeepTanh = conformance.model(Mlp, make=lambda: Mlp((4, 3), "tanh"))
TestMlpOfNumbers = conformance.model(Mlp, make=lambda: Mlp((5,), loss="squared_error"))
TestTanhOfNumbers = conformance.model(
    Mlp, make=lambda: Mlp((4, 3), "tanh", "squared_error"), form=SampleForm((33,))
)
TestOneUnit = conformance.model(Mlp, make=lambda: Mlp((1,), "tanh", "squared_error"))
TestNoHiddenLayer = conformance.model(Mlp, make=lambda: Mlp(()))


def test_every_model_is_put_to_the_test():
    tested = {value.subject.kind for value in globals().values() if hasattr(value, "subject")}
    assert tested == MODELS.keys() - ELSEWHERE


def test_the_table_is_complete():
    found = set()
    for module in pkgutil.iter_modules(lad_mpi.models.__path__):
        contents = vars(importlib.import_module(f"lad_mpi.models.{module.name}"))
        found |= {
            value
            for value in contents.values()
            if dataclasses.is_dataclass(value) and hasattr(value, "kind")
        }
    assert found == set(MODELS.values())
    assert all(cls.kind == kind for kind, cls in MODELS.items())


@pytest.mark.parametrize("kind", sorted(MODELS.keys() - ELSEWHERE))
def test_it_has_slots(kind):
    assert not hasattr(MODELS[kind](), "__dict__")
