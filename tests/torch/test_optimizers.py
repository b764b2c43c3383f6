"""Every optimizer takes the steps of the one of PyTorch that it is named after."""

import numpy as np
import pytest

from lad_mpi.optimizers import OPTIMIZERS, Adam, GradientDescent, Momentum, Updates

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")

ITERATIONS, STEP_SIZE, DECAY = 60, 0.03, 0.02
START, *ESTIMATES = np.random.default_rng(8).normal(0.5, 2.0, size=(ITERATIONS + 1, 17))

#: Ours, and PyTorch's with the same decoupled weight decay. For SGD without a momentum, the
#: decay in the gradient is the same as a decoupled one.
PAIRS = {
    "gd": (Updates(GradientDescent(), STEP_SIZE, DECAY), "SGD", {"weight_decay": DECAY}),
    "momentum": (Updates(Momentum(0.9), STEP_SIZE), "SGD", {"momentum": 0.9}),
    "nesterov": (
        Updates(Momentum(0.9, nesterov=True), STEP_SIZE),
        "SGD",
        {"momentum": 0.9, "nesterov": True},
    ),
    "adam": (Updates(Adam(), STEP_SIZE), "Adam", {}),
    "adamw": (
        Updates(Adam(0.8, 0.99, epsilon=1e-4), STEP_SIZE, DECAY),
        "AdamW",
        {"betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": DECAY},
    ),
}


def test_every_optimizer_is_compared():
    assert {updates.method.kind for updates, _, _ in PAIRS.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_those_of_pytorch(name):
    updates, theirs, options = PAIRS[name]
    model = START.copy()
    state = updates.method.initial_state(model)
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer = getattr(torch.optim, theirs)([parameter], lr=STEP_SIZE, **options)
    for t, estimate in enumerate(ESTIMATES):
        updates.apply(model, estimate, state, t, ITERATIONS)
        parameter.grad = torch.tensor(estimate)
        optimizer.step()
        np.testing.assert_allclose(model, parameter.detach().numpy(), rtol=1e-10, atol=1e-12)
