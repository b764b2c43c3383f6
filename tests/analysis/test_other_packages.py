"""What a component of another package declares counts as what one of the suite does."""

import pytest

from analysis.exact import exact_reference, is_exact
from analysis.families import load_families, load_of
from analysis.runs import load_collection
from analysis.scaling.bounds import phase_bounds, sizes_of
from analysis.summary import summarise
from lad_mpi.arrays import open_backend
from lad_mpi.errors import SpecError
from lad_mpi.logs import read_log
from lad_mpi.models import GradientWork
from lad_mpi.records import Baseline, Quantity
from lad_mpi.spec import parse_spec
from lad_mpi.theory import honest_dispersion
from lad_mpi.training.evaluate import dispersion_prediction
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback

MYLAB = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lad_mpi.aggregation import Cost, Mean, Term
from lad_mpi.coding import Cyclic
from lad_mpi.models import GradientWork


@dataclass(frozen=True)
class Pairs(Mean):
    kind: ClassVar[str] = "pairs"
    cost: ClassVar[Cost] = Cost(Term(n=2, Q=1))


@dataclass(frozen=True)
class Silent:
    num_byzantine: int = 0
    kind: ClassVar[str] = "silent"

    def __call__(self, messages):
        return messages.mean(axis=0)


@dataclass(frozen=True)
class Misstated(Silent):
    kind: ClassVar[str] = "misstated"
    cost: ClassVar[str] = "O(n² Q)"


@dataclass(frozen=True)
class Windows(Cyclic):
    kind: ClassVar[str] = "windows"


@dataclass(frozen=True)
class Quadratic:
    kind: ClassVar[str] = "quadratic"
    task: ClassVar[str] = "regression"
    has_bias: ClassVar[bool] = True

    def dimension_of(self, form):
        return form.num_features

    def gradient_work(self, form, num_samples):
        return GradientWork(num_samples, operations=50 * num_samples, numbers=50)

    def build(self, form, backend):
        raise NotImplementedError
"""


@pytest.fixture(autouse=True)
def mylab(install):
    rules = {"pairs": "Pairs", "silent": "Silent", "misstated": "Misstated"}
    install(
        "mylab",
        MYLAB,
        rules=rules,
        codes={"windows": "Windows"},
        models={"quadratic": "Quadratic"},
    )


@pytest.mark.parametrize(("kind", "own"), [("pairs", "krum"), ("silent", "mean")])
def test_the_work_of_a_rule_is_the_cost_that_it_declares(write_run, kind, own):
    """``O(n² Q)`` counted as linear, because the suite wrote ``n²Q``."""
    theirs, ours = ({"aggregation": {"kind": name, "pre": []}} for name in (kind, own))
    sizes = sizes_of(read_log(write_run("theirs.h5", **theirs)))
    assert sizes == sizes_of(read_log(write_run("ours.h5", **ours)))
    assert sizes.gram == (kind == "pairs")


def test_a_cost_in_words_is_refused_and_not_guessed():
    with pytest.raises(SpecError, match=r"has cost = 'O\(n² Q\)'; expected cost: ClassVar\[Cost\]"):
        parse_spec({"aggregation": {"kind": "misstated"}})


def test_a_code_says_itself_whether_it_is_exact(write_run, tmp_path):
    write_run("exact.h5", name="exact", coding={"kind": "windows", "load": 10})
    write_run("other.h5", name="other", coding={"kind": "windows", "load": 5})
    methods = {method.label: method for method in load_collection([tmp_path]).methods}
    assert is_exact(methods["exact"])
    assert not is_exact(methods["other"])
    assert exact_reference(methods["other"], list(methods.values())) is methods["exact"]


def test_methods_of_a_code_with_a_law_are_a_family(write_run, tmp_path):
    for load in (1, 5):
        write_run(f"{load}.h5", name=f"d={load}", coding={"kind": "windows", "load": load})
    (family,) = load_families(load_collection([tmp_path]))
    assert [load_of(method) for method in family.members] == [1, 5]
    assert family.law() == {
        load: honest_dispersion(1.0, num_devices=10, num_honest=8, load=load)
        for load in range(1, 10)
    }


def prediction(changes):
    setup = prepare(parse_spec(changes), Loopback(), open_backend("numpy", "float64"))
    return dispersion_prediction(setup)


def test_a_run_predicts_the_dispersion_by_the_law_of_its_code():
    random = {"kind": "windows", "load": 5}
    assert prediction({"coding": random}) == "exact"
    fixed = {**random, "assignment": "fixed"}
    assert prediction({"coding": fixed}) == "none"


def test_a_model_declares_what_bounds_its_gradients(write_run):
    data = {"kind": "synthetic", "dimension": 50}
    run = read_log(write_run(ranks=4, data=data, model={"kind": "quadratic"}))
    sizes = sizes_of(run)
    # Four devices with two subsets of one sample each.
    assert sizes.gradient == GradientWork(samples=8, operations=400, numbers=50)
    assert sizes.dimension == 50
    rates = {"gemm_each": 5e9, "gemv_each": 1e9, "copy_each": 1e12}
    quantities = (Quantity(name, "1/s", (rate,), 1) for name, rate in rates.items())
    machine = Baseline("now", True, 4, False, {}, tuple(quantities))
    # Operations that it did not say to be slower are bounded by the fastest there are.
    assert phase_bounds(sizes, machine, 4)["compute"] == pytest.approx(400 / 5e9)


def test_runs_of_a_package_that_cannot_be_imported_are_read_all_the_same(write_run, install):
    install("broken", "import not_there", codes={"gone": "Gone"}, rules={"lost": "Lost"})
    path = write_run(
        coding={"kind": "gone", "load": 10}, aggregation={"kind": "lost", "pre": []}
    ).parent
    (row,) = summarise(load_collection([path]))
    assert row.gradients is None
    assert not is_exact(load_collection([path]).methods[0])
    assert load_families(load_collection([path])) == []
    assert sizes_of(read_log(path / "run.h5")) is None
