"""Specs: defaults, round trips, and refusals that name the place and the fix."""

import dataclasses
import os

import pytest

from lad_mpi.aggregation import Krum, NearestNeighbourMixing, TrimmedMean
from lad_mpi.attacks import SignFlip
from lad_mpi.coding import Cyclic, DracoRepetition
from lad_mpi.compression import NoCompression
from lad_mpi.data import DataPlan, Digits
from lad_mpi.errors import SpecError, UsageError
from lad_mpi.network import Network
from lad_mpi.optimizers import Cosine, GradientDescent, Momentum, Updates
from lad_mpi.spec import identify, load_spec, parse_spec, parse_toml_spec, to_mapping, to_toml
from lad_mpi.toml import parse_toml

SPECS = {
    "defaults": {},
    "lad": {
        "name": "LAD d=20",
        "coding": {"kind": "cyclic", "load": 20, "assignment": "fixed"},
        "aggregation": {"kind": "trimmed_mean", "pre": ["nnm"]},
    },
    "draco": {"coding": {"kind": "draco_repetition"}, "fallback": {"kind": "median"}},
    "compressed": {
        "compression": {"kind": "rand_k", "k": 30},
        "attack": {"kind": "alie"},
        "backend": {"dtype": "float32"},
    },
    "a table": {
        "data": {"kind": "file", "path": "d.csv", "target": 3, "header": False, "index": "id"}
    },
    "a table with an index": {
        "data": {"kind": "file", "path": "d.csv", "target": "y", "index": True}
    },
    "a classifier": {
        "data": {"kind": "synthetic_classification", "classes": 3},
        "model": {"kind": "mlp", "hidden": [8, 4], "activation": "tanh", "l2": 0.1},
        "devices": {"batch_size": 8, "momentum": 0.9},
        "optimizer": {
            "kind": "adam",
            "step_size": 0.01,
            "weight_decay": 0.1,
            "schedule": {"kind": "step", "every": 3, "decay": 0.5, "warmup": 2},
        },
        "attack": {"kind": "label_flip"},
    },
    "prepared data": {
        "data": {
            "kind": "digits",
            "partition": "dirichlet",
            "concentration": 0.3,
            "test_fraction": 0.1,
            "standardize": True,
            "intercept": False,
        },
        "model": {"kind": "softmax_regression"},
    },
    "servers": {"server": {"ranks": 3}, "attack": {"kind": "alie"}},
    "a GPU": {"backend": {"kind": "cupy", "gpu_transfers": "staged"}},
}
NETWORKS = {
    "a table": {"latency": "50us", "bandwidth": "1 Gbit/s"},
    "a line": "bandwidth=125MB/s,latency=0.05ms",
}


@pytest.mark.parametrize("mapping", SPECS.values(), ids=SPECS)
def test_a_spec_survives_the_way_to_toml_and_back(mapping):
    spec = parse_spec(mapping)
    assert parse_toml_spec(to_toml(spec)) == spec
    assert identify(parse_toml_spec(to_toml(spec))) == identify(spec)


def test_defaults_are_the_plain_rule_of_the_main_figure():
    spec = parse_spec({})
    assert (spec.devices.count, spec.devices.byzantine, spec.iterations) == (100, 20, 1500)
    assert spec.coding == Cyclic(load=1)
    assert spec.aggregation.rule == TrimmedMean(num_byzantine=20)
    assert spec.optimizer.step_size == 1e-3


def test_the_number_of_faults_reaches_every_component_from_one_place():
    spec = parse_spec(
        {
            "devices": {"count": 30, "byzantine": 4, "assumed_byzantine": 7},
            "aggregation": {"kind": "krum", "pre": ["nnm"]},
        }
    )
    assert spec.aggregation.rule == Krum(num_byzantine=7)
    assert spec.aggregation.pre == (NearestNeighbourMixing(num_byzantine=7),)
    assert spec.devices.byzantine == 4


def test_a_table_without_a_kind_changes_parameters_of_the_default_kind():
    spec = parse_spec(
        {"coding": {"load": 4}, "attack": {"scale": -5.0}, "aggregation": {"pre": ["nnm"]}}
    )
    assert spec.coding == Cyclic(load=4)
    assert spec.attack == SignFlip(scale=-5.0)
    assert spec.aggregation.rule == TrimmedMean(num_byzantine=20)


def test_a_code_that_decodes_has_no_rule():
    spec = parse_spec({"coding": {"kind": "draco_repetition"}})
    assert spec.coding == DracoRepetition()
    assert spec.aggregation is None
    assert "aggregation" not in to_mapping(spec)


@pytest.mark.parametrize("emulate", NETWORKS.values(), ids=NETWORKS)
def test_a_network_is_written_in_either_way(emulate):
    spec = parse_spec({"network": {"emulate": emulate}})
    assert spec.network.emulate == Network(50e-6, 125e6)
    assert spec.network.emulated == "latency=50us,bandwidth=125MB/s"
    assert parse_toml_spec(to_toml(spec)) == spec
    assert to_mapping(spec)["network"] == {
        "emulate": {"latency": "50us", "bandwidth": "125MB/s"},
    }


@pytest.mark.parametrize("network", [{}, {"emulate": False}])
def test_no_network_is_emulated_unless_it_is_asked_for(network):
    spec = parse_spec({"network": network})
    assert spec == parse_spec({})
    assert spec.network.emulate is None
    assert "network" not in to_mapping(spec)


REFUSED = {
    "unknown table": ({"agregation": {}}, "agregation", "did you mean 'aggregation'"),
    "unknown kind": (
        {"aggregation": {"kind": "trimed_mean"}},
        "aggregation.kind",
        "did you mean 'trimmed_mean'",
    ),
    "unknown code": ({"coding": {"kind": "cyclical"}}, "coding.kind", "did you mean 'cyclic'"),
    "unknown key": (
        {"coding": {"kind": "cyclic", "laod": 3}},
        "coding.laod",
        "did you mean 'load'",
    ),
    "unknown pre": (
        {"aggregation": {"kind": "median", "pre": ["nmm"]}},
        "aggregation.pre[0].kind",
        "did you mean 'nnm'",
    ),
    "kind missing": (
        {"coding": {"kind": "draco_repetition"}, "fallback": {}},
        "fallback.kind",
        "is missing; expected a rule: caf, centered_clipping, geometric_median",
    ),
    "transfers without a GPU": (
        {"backend": {"gpu_transfers": "direct"}},
        "backend.gpu_transfers",
        "has no effect with backend.kind",
    ),
    "unknown transfers": (
        {"backend": {"kind": "cupy", "gpu_transfers": "fast"}},
        "backend.gpu_transfers",
        "'direct' or 'staged'",
    ),
    "not a table": ({"coding": 3}, "coding", "expected a table"),
    "text for a number": (
        {"coding": {"kind": "cyclic", "load": "ten"}},
        "coding.load",
        "expected a valid integer, found 'ten'",
    ),
    "fraction for a count": ({"iterations": 10.5}, "iterations", "expected a valid integer"),
    "truth for a count": ({"seed": True}, "seed", "expected a valid integer"),
    "overlap": ({"overlap": True}, "overlap", "is gone"),
    "servers of packed bits": (
        {"server": {"ranks": 2}, "compression": {"kind": "qsgd", "levels": 3}},
        "server.ranks",
        "its messages cannot be cut by columns",
    ),
    "servers of complex messages": (
        {"server": {"ranks": 2}, "coding": {"kind": "draco_cyclic"}},
        "server.ranks",
        "its messages are complex vectors",
    ),
    "servers on a GPU": (
        {"server": {"ranks": 2}, "backend": {"kind": "cupy"}},
        "server.ranks",
        "messages on a GPU are not cut",
    ),
    "too many servers": ({"server": {"ranks": 33}}, "server.ranks", "must be at most 32"),
    "wrong word": (
        {"compute": "fast"},
        "compute",
        "expected 'faithful' or 'shared', found 'fast'",
    ),
    "word for a truth": (
        {"logging": {"swmr": "yes please"}},
        "logging.swmr",
        "expected a valid boolean",
    ),
    "majority of faults": (
        {"devices": {"count": 10, "byzantine": 5}},
        "devices.byzantine",
        "at most 4 can be tolerated",
    ),
    "majority assumed": (
        {"devices": {"count": 10, "byzantine": 2, "assumed_byzantine": 5}},
        "devices.assumed_byzantine",
        "not a minority",
    ),
    "load above N": (
        {"coding": {"kind": "cyclic", "load": 101}},
        "coding.load",
        "between 1 and the number of devices 100, not 101",
    ),
    "load of zero": ({"coding": {"kind": "cyclic", "load": 0}}, "coding.load", "at least 1"),
    "draco load": (
        {"coding": {"kind": "draco_repetition", "load": 40}},
        "coding.load",
        "between 2f+1 = 41",
    ),
    "k above Q": (
        {"compression": {"kind": "rand_k", "k": 101}},
        "compression.k",
        "at most the dimension 100, not 101",
    ),
    "k missing": ({"compression": {"kind": "rand_k"}}, "compression.k", "is missing"),
    "draco with a lossy codec": (
        {"coding": {"kind": "draco_repetition"}, "compression": {"kind": "rand_k", "k": 3}},
        "compression.kind",
        "decodes only messages that arrive as they were computed",
    ),
    "draco with a rule": (
        {"coding": {"kind": "draco_repetition"}, "aggregation": {"kind": "median"}},
        "aggregation",
        "takes no rule",
    ),
    "fallback for complex messages": (
        {"coding": {"kind": "draco_cyclic"}, "fallback": {"kind": "median"}},
        "fallback",
        "not estimates of the gradient",
    ),
    "fallback without a decoder": (
        {"fallback": {"kind": "median"}},
        "fallback",
        "codes that decode",
    ),
    "f given to a rule": (
        {"aggregation": {"kind": "median", "num_byzantine": 3}},
        "aggregation.num_byzantine",
        "one place, devices.byzantine",
    ),
    "step size": ({"optimizer": {"step_size": -1.0}}, "optimizer.step_size", "above 0"),
    "iterations": ({"iterations": 0}, "iterations", "at least 1"),
    "seed": ({"seed": -1}, "seed", "at least 0"),
    "name": ({"name": " "}, "name", "non-empty"),
    "attack out of range": (
        {"attack": {"kind": "mimic_fixed", "device": 80}},
        "attack.device",
        "below the number of honest devices 80",
    ),
    "rule out of range": (
        {"aggregation": {"kind": "multi_krum", "num_selected": 101}},
        "aggregation.num_selected",
        "101",
    ),
    "network without numbers": (
        {"network": {"emulate": True}},
        "network.emulate",
        "expected latency and bandwidth, or false, found True",
    ),
    "empty network": (
        {"network": {"emulate": {}}},
        "network.emulate",
        "expected latency or bandwidth",
    ),
    "network of another form": (
        {"network": {"emulate": "fast"}},
        "network.emulate",
        "expected latency=…,bandwidth=…",
    ),
    "network's key": ({"network": {"emulation": {}}}, "network.emulation", "mean 'emulate'"),
    "network's quantity": (
        {"network": {"emulate": {"bandwith": "1GB/s"}}},
        "network.emulate.bandwith",
        "did you mean 'bandwidth'?",
    ),
    "number without a unit": (
        {"network": {"emulate": {"latency": 5e-5}}},
        "network.emulate.latency",
        "expected a number with its unit, such as '50us', found 5e-05",
    ),
    "misspelt key of all data": (
        {"data": {"kind": "digits", "test_fracton": 0.2}},
        "data.test_fracton",
        "did you mean 'test_fraction'?",
    ),
    "misspelt key of some data": (
        {"data": {"kind": "synthetic", "dimensoin": 5}},
        "data.dimensoin",
        "did you mean 'dimension'?",
    ),
    "misspelt key of all optimizers": (
        {"optimizer": {"kind": "adam", "step_sise": 0.1}},
        "optimizer.step_sise",
        "did you mean 'step_size'?",
    ),
    "misspelt key of an optimizer": (
        {"optimizer": {"kind": "adam", "beta": 0.1}},
        "optimizer.beta",
        "did you mean 'beta2'?",
    ),
    "key of other data": (
        {"data": {"kind": "synthetic", "path": "a.csv"}},
        "data.path",
        "unknown key",
    ),
    "partition of drawn data": (
        {"data": {"kind": "synthetic", "partition": "sorted"}},
        "data.partition",
        "has no effect on data that are drawn",
    ),
    "unknown schedule": (
        {"optimizer": {"schedule": "cosin"}},
        "optimizer.schedule.kind",
        "did you mean 'cosine'?",
    ),
    "misspelt key of a schedule": (
        {"optimizer": {"schedule": {"kind": "cosine", "warm_up": 3}}},
        "optimizer.schedule.warm_up",
        "did you mean 'warmup'?",
    ),
    "schedule without its interval": (
        {"optimizer": {"schedule": "step"}},
        "optimizer.schedule.every",
        "is missing, and 'step' needs it",
    ),
    "schedule of another form": (
        {"optimizer": {"schedule": 3}},
        "optimizer.schedule",
        "expected a name or a table, found 3",
    ),
    "momentum with momenta that cannot be decoded": (
        {"coding": {"kind": "draco_cyclic_real"}, "devices": {"momentum": 0.5}},
        "devices.momentum",
        "cannot be decoded",
    ),
    "attack by estimates on messages that are none": (
        {"coding": {"kind": "draco_cyclic"}, "attack": {"kind": "optimal_alie"}},
        "attack.kind",
        "needs the server's estimate as a function of the Byzantine vectors",
    ),
    "momentum of one": ({"devices": {"momentum": 1.0}}, "devices.momentum", "below 1"),
    "batch of nothing": ({"devices": {"batch_size": 0}}, "devices.batch_size", "at least 1"),
    "classifier of numbers": (
        {"model": {"kind": "softmax_regression"}},
        "data.kind",
        "'synthetic' is for regression, and the model is for classification",
    ),
    "interval": ({"logging": {"flush_every": 0}}, "logging.flush_every", "at least 1"),
}


@pytest.mark.parametrize(("mapping", "key", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_refused_by_its_key(mapping, key, words):
    with pytest.raises(SpecError) as caught:
        parse_spec(mapping)
    assert caught.value.key == key
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["draco_repetition", "draco_cyclic", "cyclic"])
def test_momenta_that_are_coded_alike_are_allowed(kind):
    assert parse_spec({"coding": {"kind": kind}, "devices": {"momentum": 0.5}})


@pytest.mark.parametrize("table", ["cosine", {"kind": "cosine"}])
def test_a_schedule_is_a_word_or_a_table(table):
    spec = parse_spec({"optimizer": {"schedule": table}})
    assert spec.optimizer.schedule == Cosine()
    assert spec.optimizer.method == GradientDescent()
    schedule = {"kind": "cosine", "final": 0.0, "warmup": 0}
    assert to_mapping(spec)["optimizer"]["schedule"] == schedule


def test_keys_of_all_kinds_and_of_one_kind_share_a_table():
    spec = parse_spec(
        {
            "data": {"kind": "digits", "partition": "sorted", "test_fraction": 0.3},
            "model": {"kind": "softmax_regression", "l2": 1e-4},
            "optimizer": {"kind": "momentum", "nesterov": True, "step_size": 0.5},
        }
    )
    assert spec.data == DataPlan(Digits(), partition="sorted", test_fraction=0.3)
    assert spec.optimizer == Updates(Momentum(nesterov=True), step_size=0.5)


OLD = {
    "synthetic": (
        {"data": "synthetic", "dimension": 30, "heterogeneity": 0.2},
        {"kind": "synthetic", "dimension": 30, "heterogeneity": 0.2},
    ),
    "no data": ({"dimension": 30}, {"kind": "synthetic", "dimension": 30}),
    "file": (
        {"kind": "linear_regression", "data": "a.csv", "partition": "sorted"},
        {"kind": "file", "path": "a.csv", "partition": "sorted"},
    ),
    "diabetes": ({"data": "diabetes"}, {"kind": "diabetes"}),
}


@pytest.mark.parametrize(("problem", "data"), OLD.values(), ids=OLD)
def test_a_spec_of_version_0_1_is_refused_with_the_tables_of_now(problem, data):
    with pytest.raises(SpecError, match=r"is now two tables, \[data\] and \[model\]") as caught:
        parse_spec({"problem": problem, "iterations": 3})
    assert (caught.value.key, caught.value.exit_code) == ("problem", 2)
    _, _, tables = caught.value.hint.partition("write\n")
    # The hint can be copied.
    assert parse_toml(tables) == {"data": data, "model": {"kind": "linear_regression"}}
    assert parse_spec(parse_toml(tables))


def test_a_codec_of_the_host_cannot_be_told_to_pack_on_a_gpu(take_off_gpu):
    take_off_gpu(NoCompression)
    with pytest.raises(SpecError, match="packed on the host") as caught:
        parse_spec({"backend": {"kind": "cupy", "gpu_transfers": "direct"}})
    assert caught.value.key == "backend.gpu_transfers"
    assert parse_spec({"backend": {"kind": "cupy", "gpu_transfers": "staged"}})


def test_a_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_spec({}).seed = 3


def test_a_pipe_that_may_never_end_is_no_spec(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UsageError, match="is not a regular file"):
        load_spec(tmp_path / "pipe.toml")


WARM = {"kind": "cosine", "warmup": 30}


@pytest.mark.parametrize(
    ("mapping", "key", "words"),
    [
        (
            {"iterations": 30, "optimizer": {"schedule": WARM}},
            "optimizer.schedule.warmup",
            "is 30, and the run has only 30 iterations",
        ),
        (
            {
                "data": {"kind": "synthetic_classification"},
                "model": {"kind": "logistic_regression"},
            },
            "model.kind",
            "softmax_regression",
        ),
    ],
    ids=["warm-up to the end", "classes before the launch"],
)
def test_what_a_run_could_not_do_is_refused_before_it(mapping, key, words):
    with pytest.raises(SpecError) as caught:
        parse_spec(mapping)
    assert caught.value.key == key
    assert words in f"{caught.value.message} {caught.value.hint}"


OTHERS = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Lars:
    weight_decay: float = 0.5
    kind: ClassVar[str] = "lars"

    def initial_state(self, like):
        return {}

    def direction(self, estimate, state, iteration):
        return estimate


@dataclass(frozen=True)
class Short:
    kind: ClassVar[str] = "short"

    def craft(self, honest, context):
        return np.zeros((len(context.devices), honest.shape[1]))

    def initial_state(self, like):
        return {}

    def advance(self, honest, context, state):
        return np.zeros((1, honest.shape[1]))
"""


def test_a_component_cannot_take_a_key_of_its_whole_table(install):
    install("mylab", OTHERS, optimizers={"lars": "Lars"})
    with pytest.raises(SpecError, match="has a field 'weight_decay', which all kinds") as caught:
        parse_spec({"optimizer": {"kind": "lars", "weight_decay": 0.01}})
    assert caught.value.key == "optimizer.kind"


def test_an_attack_that_learns_is_tried_as_a_run_calls_it(install):
    install("mylab", OTHERS, attacks={"short": "Short"})
    with pytest.raises(SpecError, match=r"returns an array of shape \(1, 1\)") as caught:
        parse_spec({"attack": {"kind": "short"}})
    assert caught.value.key == "attack.kind"


def test_servers_hold_whole_buckets_and_short_models_stay_whole():
    spec = parse_spec(
        {"server": {"ranks": 2}, "compression": {"kind": "qsgd", "levels": 3, "bucket": 8192}}
    )
    columns = spec.server_columns(100_000)
    assert [part.start % 8192 for part in columns.values()] == [0, 0]
    assert columns[1].stop == 100_000
    assert 0.5 <= spec.largest_share(100_000) < 0.6
    assert spec.largest_share(100_000, 1) == 1
    assert spec.server_columns(1000) == {0: slice(0, 1000)}
