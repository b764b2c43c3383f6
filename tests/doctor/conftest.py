"""Made-up ranks: everything is right except what a test changes."""

import pytest

from lad_mpi.doctor.facts import RankFacts, Space

GIB = 2**30
VERSIONS = {
    "lad_mpi": "1.0",
    "python": "3.12.1",
    "numpy": "2.1.0",
    "mpi4py": "4.1.0",
    "mpi": "MPICH Version: 5.0",
    "blas": "openblas 0.3 Zen",
    "processor": "Some CPU",
}
HDF5 = {
    "folder": "/scratch",
    "version": "2.0.0",
    "write_error": "",
    "lock_error": "",
    "hdf5_error": "",
    "unlocked_error": "",
    "swmr_error": "",
}


def sound(number, **changes):
    """Rank ``number`` of a host of 16 processors, bound to one of its own."""
    facts = {
        "rank": number,
        "host": "n1",
        "cpus": (number,),
        "cores": (number,),
        "host_cpus": 16,
        "versions": VERSIONS,
        "mpi": {"library": "MPICH Version: 5.0"},
        "output": Space("/scratch", "", "ext4", 100 * GIB) if number == 0 else None,
        "hdf5": HDF5 if number == 0 else None,
    }
    return RankFacts(**{**facts, **changes})


@pytest.fixture
def rank():
    return sound


@pytest.fixture
def ranks():
    """Make some sound ranks, all with the same changes."""

    def make(count, **changes):
        return [sound(number, **changes) for number in range(count)]

    return make


@pytest.fixture
def hdf5():
    """Make the facts of a sound file system, except what a test changes."""

    def make(**changes):
        return {**HDF5, **changes}

    return make
