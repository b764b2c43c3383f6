"""What runs were made of, what their times mean, and what work their components declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lad_mpi.aggregation import CostedPreAggregation, CostedRule
from lad_mpi.errors import LadError
from lad_mpi.rng import Streams
from lad_mpi.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.aggregation import Cost
    from lad_mpi.coding import Assignment
    from lad_mpi.logs import Launch, RunLog
    from lad_mpi.spec import Spec


_SHORT = 8
#: Appended to a revision with uncommitted changes.
CHANGED = "+"


@dataclass(frozen=True, slots=True)
class Origin:
    """The data, packages and revisions that runs used.

    Parameters
    ----------
    data_digest : str or None
        Digest of the data; empty if the run read none, None if the log does not say.
    packages : tuple of str
        ``"name version"`` of every package that provides a component.
    revisions : tuple of str
        Git revisions of the launches, followed by ``+`` if there were uncommitted changes.
    """

    data_digest: str | None = None
    packages: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()

    def facts(self) -> dict[str, str]:
        """Return short texts of all facts, by their names."""
        # The digest is "sha256:…".
        digest = "unknown" if self.data_digest is None else self.data_digest or "none"
        versions = dict(package.rpartition(" ")[::2] for package in self.packages)
        revisions = " and ".join(map(_shortened, self.revisions))
        return {
            "data": digest.rpartition(":")[2][:_SHORT],
            **versions,
            "revision": revisions,
        }


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions under which a launch was timed. Other times cannot be compared.

    Parameters
    ----------
    ranks, hosts : int
        Number of ranks, and of their hosts.
    machine : str
        Models of processors and GPUs.
    threads : str
        Threads of the linear algebra library: one number for all ranks, or one for each.
    mpi : str
        The MPI library; empty for one rank, which sends no messages.
    gpu_transfers : str
        How messages left GPUs; ``"none"`` without a GPU.
    oversubscribed : bool
        Whether there were more threads than processors.
    shared_compute : bool
        Whether each rank computed redundant gradients only once.
    servers : int
        Number of server ranks.
    emulated_network : str
        The emulated network; empty if there was none.
    """

    ranks: int
    hosts: int
    machine: str
    threads: str
    mpi: str
    gpu_transfers: str
    oversubscribed: bool
    shared_compute: bool
    servers: int
    emulated_network: str

    def facts(self) -> dict[str, str | None]:
        """Return short texts of all conditions, by their names."""
        return {
            "ranks": str(self.ranks),
            "hosts": str(self.hosts) if self.hosts else None,
            "machine": self.machine or "unknown",
            "threads": self.threads or "unknown",
            "mpi": self.mpi or None,
            "gpu_transfers": self.gpu_transfers,
            "oversubscribed": "yes" if self.oversubscribed else "no",
            "compute": "shared" if self.shared_compute else "faithful",
            "servers": str(self.servers),
            "network": self.emulated_network or "real",
        }


def origin_of(run: RunLog) -> Origin:
    """Return the data, packages and revisions of a run."""
    revisions = dict.fromkeys(_revision(launch.provenance) for launch in launches_of(run))
    return Origin(run.data_digest, run.packages, tuple(revisions))


def conditions_of(run: RunLog, launch: Launch) -> Conditions:
    """Return the conditions under which a launch was timed."""
    made = launch.provenance
    models = [made.get("cpu_model", ""), *made.get("devices", ())]
    threads = list(map(str, made.get("blas_threads", ())))
    return Conditions(
        ranks=launch.ranks,
        hosts=len(set(made.get("hosts", ()))),
        machine=", ".join(model for model in dict.fromkeys(models) if model not in {"", "cpu"}),
        threads=threads[0] if len(set(threads)) == 1 else " ".join(threads),
        mpi=str(made.get("mpi_library", "")) if launch.ranks > 1 else "",
        gpu_transfers=str(made.get("gpu_transfers", "none")),
        oversubscribed=bool(made.get("oversubscribed", False)),
        shared_compute=run.spec.get("compute") == "shared",
        servers=int(made.get("server_ranks", 1)),
        emulated_network=run.emulated_network,
    )


def launches_of(run: RunLog) -> list[Launch]:
    """Return the launches that have iterations in the log."""
    return [launch for launch in run.launches if launch.first < launch.stop]


def _revision(provenance: Mapping[str, object]) -> str:
    revision = str(provenance.get("git_revision", "unknown"))
    return revision + CHANGED if provenance.get("git_dirty", False) else revision


def _shortened(revision: str) -> str:
    changed = CHANGED if revision.endswith(CHANGED) else ""
    return revision.removesuffix(CHANGED)[:_SHORT] + changed


def gradients_per_iteration(spec: Mapping[str, Any]) -> int | None:
    """Return the number of subset gradients that all devices together compute.

    Parameters
    ----------
    spec : mapping
        A resolved spec.

    Returns
    -------
    int or None
        The sum of the loads of the devices; None if the spec cannot be read, for instance
        because a package with one of its components is not installed.
    """
    try:
        run = parse_spec(spec)
    except LadError:
        return None
    return int(assignment_of(run).loads.sum())


def assignment_of(spec: Spec) -> Assignment:
    """Return which device computes which subsets in the first iteration of a run."""
    devices = spec.devices
    return spec.coding.assign(devices.count, devices.num_byzantine, Streams(spec.seed), 0)


def batch_of(spec: Spec) -> int | None:
    """Return b, the samples of a subset that an iteration uses; None before data are read."""
    whole, chosen = spec.data.samples_per_subset, spec.devices.batch_size
    if whole is None or chosen is None:
        return whole
    return min(whole, chosen)


def encoded_vectors(spec: Spec) -> float:
    """Return how many vectors a device adds up after its gradients.

    With ``compute = "shared"`` these are the gradients of its subsets, d of them. Otherwise
    it computes one gradient over all its batches, and adds only its momentum.
    """
    if spec.compute == "shared":
        return float(assignment_of(spec).loads.mean())
    return 1.0 if spec.devices.momentum else 0.0


def declared_costs(spec: Spec) -> list[tuple[str, Cost | None]]:
    """Return the kind and the declared cost of the rule and of each pre-aggregation.

    A code that decodes has no rule. A fallback is not part of a usual iteration.
    """
    pipeline = spec.aggregation
    if pipeline is None:
        return []
    costed = (CostedRule, CostedPreAggregation)
    return [
        (part.kind, part.cost if isinstance(part, costed) else None)
        for part in (*pipeline.pre, pipeline.rule)
    ]
