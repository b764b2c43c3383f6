"""The provenance in a log, with and without host details."""

from __future__ import annotations

import json

from lad_mpi.spec import parse_toml_spec
from lad_mpi.training import provenance as module
from lad_mpi.training.run import _prepare
from lad_mpi.transport import open_link

HOSTS = ("node1", "node1", "node10", "node1.cluster")
REMARKS = [
    "warning: load: node1 is busy",
    "note: gpu: node10, node1-ib and node1.cluster have no GPU",
]


def told(*, details: bool) -> dict:
    spec = parse_toml_spec(
        "iterations = 1\ndevices = { count = 4, byzantine = 1 }\ndata = { dimension = 2 }\n"
        f"logging = {{ host_details = {json.dumps(details)} }}"
    )
    ranks = [
        json.dumps({"host": host, "cpus": [n], "blas_threads": 1, "pid": n, "device": "cpu"})
        for n, host in enumerate(HOSTS)
    ]
    return module.provenance(_prepare(spec, open_link({})), ranks, REMARKS)


def test_hosts_have_numbers_in_the_order_of_ranks_if_details_are_left_out():
    found = told(details=False)
    assert found["hosts"] == ["host-0", "host-0", "host-1", "host-2"]
    assert found["remarks"] == [
        "warning: load: host-0 is busy",
        "note: gpu: host-1, node1-ib and host-2 have no GPU",
    ]
    assert (found["command"], found["processes"]) == ("", [])
    assert found["affinity"] == ["0", "1", "2", "3"]


def test_host_details_are_recorded_on_request():
    found = told(details=True)
    assert tuple(found["hosts"]) == HOSTS
    assert found["remarks"] == REMARKS
    assert found["processes"] == ["0", "1", "2", "3"]
    assert found["command"]
    assert found.keys() == told(details=False).keys()
