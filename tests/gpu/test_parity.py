"""The GPU computes what the host computes."""

import numpy as np
import pytest

from lad_mpi.aggregation import PRE_AGGREGATIONS, RULES
from lad_mpi.arrays import copy_array, namespace, open_backend, to_host
from lad_mpi.attacks import ATTACKS, AttackContext, LocalAttack, Mimic, OmniscientAttack
from lad_mpi.coding import DracoRepetition
from lad_mpi.logs import read_log
from lad_mpi.metrics import dispersion, distance, norm
from lad_mpi.metrics.moments import Moments
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec
from lad_mpi.training import run_spec
from lad_mpi.transport import Loopback

N, F, Q = 21, 4, 37


@pytest.fixture
def vectors():
    return np.random.default_rng(3).normal(5.0, 1.0, size=(N, Q))


def test_arrays_cross_over_and_back(gpu, vectors):
    device = gpu.asarray(vectors)
    assert namespace(device) is gpu.xp
    np.testing.assert_array_equal(to_host(device), vectors)
    pinned = gpu.host_buffer(vectors.shape, np.float64)
    copy_array(device, pinned)
    np.testing.assert_array_equal(pinned, vectors)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", sorted({**RULES, **PRE_AGGREGATIONS}))
def test_rules_agree_with_the_host(gpu, vectors, kind, dtype):
    rule = {**RULES, **PRE_AGGREGATIONS}[kind](num_byzantine=F)
    host = vectors.astype(dtype)
    host[:F] *= -40
    found = rule(gpu.asarray(host, dtype=dtype))
    assert namespace(found) is gpu.xp
    assert found.dtype == host.dtype
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(to_host(found), rule(host), rtol=tolerance, atol=tolerance)


def sent_under(attack, vectors):
    """Return what Byzantine devices send to a server that takes the mean."""

    def aggregate(sent):
        # A rule that bounds the error would leave the choice of the factor to rounding.
        return (honest.sum(axis=0) + sent.sum(axis=0)) / N

    context = AttackContext(Streams(1), 2, np.arange(F), N, F, aggregate=aggregate)
    own, honest = vectors[:F], vectors[F:]
    if isinstance(attack, LocalAttack):
        return attack.corrupt(own, context)
    return attack.craft(honest, context)


ON_VECTORS = LocalAttack | OmniscientAttack


@pytest.mark.parametrize(
    "kind", sorted(kind for kind, cls in ATTACKS.items() if isinstance(cls(), ON_VECTORS))
)
def test_attacks_agree_with_the_host(gpu, vectors, kind):
    found = sent_under(ATTACKS[kind](), gpu.asarray(vectors))
    assert namespace(found) is gpu.xp
    expected = sent_under(ATTACKS[kind](), vectors)
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-12)


def test_an_attack_learns_what_it_learns_on_the_host(gpu):
    attack, host = Mimic(warmup=4), np.random.default_rng(4).normal(1.0, 2.0, size=(6, N - F, Q))
    states = [attack.initial_state(host[0, 0]), attack.initial_state(gpu.asarray(host[0, 0]))]
    for iteration, honest in enumerate(host):
        context = AttackContext(Streams(1), iteration, np.arange(F), N, F)
        expected = attack.advance(honest, context, states[0])
        found = attack.advance(gpu.asarray(honest), context, states[1])
        np.testing.assert_array_equal(to_host(found), expected)
        for name, array in states[0].items():
            np.testing.assert_allclose(to_host(states[1][name]), array, rtol=1e-9, atol=1e-12)


def test_metrics_agree_with_the_host(gpu, vectors):
    device = gpu.asarray(vectors)
    assert dispersion(device) == pytest.approx(dispersion(vectors), rel=1e-12)
    assert norm(device[0]) == pytest.approx(norm(vectors[0]), rel=1e-12)
    assert distance(device[0], device[1]) == pytest.approx(distance(*vectors[:2]), rel=1e-12)
    found, expected = (Moments.of_rows(rows, rows[:, :2]).in_pairs() for rows in (device, vectors))
    np.testing.assert_allclose(to_host(found.table()), expected.table(), rtol=1e-12)


def test_the_majority_is_found_on_the_device(gpu):
    code = DracoRepetition()
    assignment = code.assign(N, F, Streams(1), 0)
    gradients = np.random.default_rng(0).normal(size=(N, Q))
    messages = np.stack([row @ gradients for row in assignment.mixing_matrix(N)])
    messages[:F] = 7.0
    decoded = code.decode(gpu.asarray(messages), assignment, F, streams=Streams(1), iteration=0)
    np.testing.assert_allclose(to_host(decoded.gradient), gradients.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_and_loss_agree_with_the_host(samples, dtype):
    spec = parse_spec({"data": {"dimension": Q, "samples_per_subset": samples}})
    form = {"task": spec.model.task, "has_bias": spec.model.has_bias}
    data = spec.data.load(20, Streams(1), **form)
    results = []
    for kind in ("numpy", "cupy"):
        backend = open_backend(kind, dtype)
        functions = spec.model.build(data.form, backend)
        features, targets, model = (
            backend.asarray(values)
            for values in (data.features, data.targets, np.linspace(-1, 1, Q))
        )
        stack = features.reshape(20, samples, Q), targets.reshape(20, samples)
        weights = backend.asarray(np.full((20, samples), 1 / samples))
        out = backend.xp.empty((20, Q), dtype=dtype)
        functions.gradients(model, *stack, weights, out)
        losses = to_host(functions.measure(model, *stack))[0]
        results.append((to_host(out), losses.mean()))
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    scale = np.abs(results[0][0]).max()
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=0, atol=tolerance * scale)
    assert results[1][1] == pytest.approx(results[0][1], rel=tolerance)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aggregation": {"pre": ["nnm"]}},
        {"compression": {"kind": "rand_k", "k": 5}},
        {"attack": {"kind": "alie"}},
        {"coding": {"kind": "draco_repetition"}},
        {"compute": "shared"},
    ],
    ids=["plain", "nnm", "rand_k", "alie", "draco", "shared"],
)
def test_a_whole_run_follows_the_host(tmp_path, changes):
    logs = []
    for kind in ("numpy", "cupy"):
        small = {
            "iterations": 30,
            "data": {"dimension": 12},
            "devices": {"count": 15, "byzantine": 3},
            "coding": {"kind": "cyclic", "load": 4},
            "backend": {"kind": kind},
        }
        spec = parse_spec({**small, **changes})
        path = tmp_path / f"{kind}.h5"
        assert run_spec(spec, Loopback(), path).status == "complete"
        logs.append(read_log(path))
    host, device = logs
    np.testing.assert_allclose(device.final.model, host.final.model, rtol=1e-8)
    np.testing.assert_allclose(device.metrics["loss"], host.metrics["loss"], rtol=1e-8)
    assert device.provenance["devices"] != host.provenance["devices"]
