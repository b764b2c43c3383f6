"""Ranks of a host share the data; hosts that hold a part of them compute the same bits."""

import mmap

import numpy as np
import pytest
from mpi4py import MPI

from lad_mpi.arrays import open_backend
from lad_mpi.data import DataPlan
from lad_mpi.errors import DataError
from lad_mpi.spec import parse_spec
from lad_mpi.training import holding, run_spec
from lad_mpi.training.setup import prepare
from lad_mpi.transport import Loopback, open_link
from lad_mpi.transport.mpi import MpiLink

pytestmark = [pytest.mark.mpi(min_size=2), pytest.mark.timeout(100)]

MAPPING = {
    "iterations": 6,
    "data": {"dimension": 9, "samples_per_subset": 2, "test_samples": 5},
    "devices": {"count": 13, "byzantine": 3},
    "coding": {"kind": "cyclic", "load": 2, "assignment": "fixed"},
}
HOSTS = {
    "one": lambda rank: 0,
    "two": lambda rank: rank % 2,
    "server apart": lambda rank: rank > 0,
    "each its own": lambda rank: rank,
}


@pytest.fixture
def hosts(monkeypatch):
    """Let ranks with the same number appear to be on one host."""

    def place(number):
        host = MpiLink(MPI.COMM_WORLD.Split(number))
        monkeypatch.setattr(MpiLink, "on_host", lambda self: host)
        return host

    return place


@pytest.fixture
def loads(monkeypatch):
    """Count the loads on this rank."""
    load, calls = DataPlan.load, []

    def counted(self, *words, **keys):
        calls.append(keys["subsets"])
        return load(self, *words, **keys)

    monkeypatch.setattr(DataPlan, "load", counted)
    return calls


def failing(*_, **__):
    raise OSError("no such memory here")


@pytest.mark.parametrize("servers", [1, pytest.param(2, marks=pytest.mark.mpi(min_size=3))])
@pytest.mark.parametrize("place", HOSTS.values(), ids=HOSTS)
@pytest.mark.usefixtures("evaluated_together")
def test_each_host_loads_the_data_once_and_the_bits_are_the_same(
    same_bits, hosts, loads, place, servers
):
    host = hosts(place(MPI.COMM_WORLD.rank))
    tables = {"backend": {"dtype": "float32"}, "server": {"ranks": servers}}
    same_bits(parse_spec({**MAPPING, **tables}))
    # The server also loads the data of the run in one process.
    assert len(loads) == (host.rank == 0) + (MPI.COMM_WORLD.rank == 0)


def test_ranks_of_a_host_map_one_memory_that_none_but_the_first_can_write(world, hosts):
    host = hosts(0)
    setup = prepare(parse_spec(MAPPING), open_link(), open_backend("numpy", "float64"))
    features = setup.objective._features
    assert isinstance(features.base, mmap.mmap)
    assert features.flags.writeable == (host.rank == 0)
    # What the first rank writes, all others see.
    world.Barrier()
    if host.rank == 0:
        features[0, 0] = 12345.0
    world.Barrier()
    assert features[0, 0] == 12345.0


def test_a_host_without_the_server_holds_its_own_subsets_only(world, hosts, loads):
    hosts(world.rank)
    link = open_link()
    setup = prepare(parse_spec(MAPPING), link, open_backend("numpy", "float64"))
    if link.is_server:
        assert loads == [None]
        return
    first, count = setup.layout.block(link.rank)
    used = {*range(first, first + count), *((first + count) % 13 for _ in range(1))}
    assert set(loads[0].tolist()) == used
    missing = sorted({*range(13)} - used)[:1]
    model, out = np.zeros(9), np.empty((1, 9))
    for subset in missing:
        with pytest.raises(RuntimeError, match="not in the memory of this host"):
            setup.objective.coded_gradients(
                model, np.array([[subset]]), np.ones((1, 1)), out, iteration=0
            )


@pytest.mark.parametrize("name", ["map_block", "SharedBlock"])
def test_ranks_that_cannot_share_memory_load_the_data_and_the_log_says_so(
    same_bits, hosts, monkeypatch, name
):
    hosts(0)
    monkeypatch.setattr(holding, name, failing)
    notes = []
    monkeypatch.setattr("lad_mpi.training.run._show", lambda found, progress: notes.extend(found))
    logs = same_bits(parse_spec(MAPPING))
    if logs:
        (note,) = [note for note in notes if "copy of the data" in note]
        assert note.endswith("cannot share memory: no such memory here")
        assert note in str(logs[0].provenance)


@pytest.mark.parametrize("error", [DataError("it is gone"), MemoryError()], ids=["data", "memory"])
def test_if_the_data_cannot_be_loaded_all_ranks_fail_with_one_message(
    world, hosts, monkeypatch, tmp_path_factory, error
):
    def load(*_, **__):
        raise error

    hosts(0)
    monkeypatch.setattr(DataPlan, "load", load)
    link = open_link()
    outcome = run_spec(parse_spec(MAPPING), link, tmp_path_factory.mktemp("x") / "log.h5")
    assert outcome.status == "failed"
    assert outcome.failure
    assert len(set(link.gather_texts(f"{outcome.exit_code} {outcome.failure}"))) == 1


def test_if_one_host_cannot_load_the_data_all_ranks_fail_and_name_its_first_rank(
    world, hosts, monkeypatch, tmp_path_factory
):
    load = DataPlan.load

    def fail(self, *words, **keys):
        if world.rank == 0:
            return load(self, *words, **keys)
        raise DataError("it is gone")

    hosts(int(world.rank > 0))
    monkeypatch.setattr(DataPlan, "load", fail)
    outcome = run_spec(parse_spec(MAPPING), open_link(), tmp_path_factory.mktemp("x") / "log.h5")
    assert (outcome.failure, outcome.exit_code) == ("rank 1: it is gone", 2)


def test_the_ranks_of_this_host_find_each_other(world):
    link = open_link()
    host = link.on_host()
    assert host is link.on_host()
    assert host.size == world.Split_type(MPI.COMM_TYPE_SHARED).size
    assert Loopback().on_host().size == 1
