"""The spec of a run: one frozen tree of components."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le, Lt

from lad_mpi.aggregation import Pipeline, TrimmedMean
from lad_mpi.arrays import BackendKind, DtypeName  # noqa: TC001  (types are read at run time)
from lad_mpi.attacks import DataAttack, LocalAttack, OmniscientAttack, SignFlip, WireAttack
from lad_mpi.coding import Code, Cyclic
from lad_mpi.columns import server_ranges
from lad_mpi.compression import Codec, NoCompression, column_codec
from lad_mpi.data import DataPlan, Synthetic
from lad_mpi.errors import ParameterError
from lad_mpi.models import LinearRegression, Model
from lad_mpi.network import Network  # noqa: TC001
from lad_mpi.optimizers import Updates
from lad_mpi.parameters import Count, CountOrZero, Example, Seconds, check_parameters
from lad_mpi.spec.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ComputeMode = Literal["faithful", "shared"]
TransferKind = Literal["direct", "staged"]
#: Characters of a label.
_LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class Devices:
    """The participants.

    Parameters
    ----------
    count : int
        N, the number of devices and of data subsets.
    byzantine : int
        f, the number of faulty devices. The seed decides which ones they are.
        It must be less than half of ``count``.
    assumed_byzantine : int, optional
        The number of faults that rules and decoders expect; ``byzantine`` if left out.
    batch_size : int, optional
        b, the number of samples of a subset that are used in an iteration. They are drawn
        without replacement, and all devices that hold the subset use the same ones. If left
        out, or if the subset has no more samples, all are used.
    momentum : float
        β of the device momentum m ← β m + (1 − β) g. A device sends m instead of its coded
        vector g. 0 for none.
    """

    count: Count = 100
    byzantine: CountOrZero = 20
    assumed_byzantine: Annotated[CountOrZero | None, Example(25)] = None
    batch_size: Annotated[Count | None, Example(8)] = None
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and as many faults as no rule survives."""
        check_parameters(self)
        counts = {"byzantine": self.byzantine, "assumed_byzantine": self.num_byzantine}
        for name, faults in counts.items():
            if 2 * faults >= self.count:
                raise ParameterError(
                    name,
                    f"{faults} of {self.count} devices is not a minority; "
                    f"at most {(self.count - 1) // 2} can be tolerated",
                    hint=f"lower devices.{name} or raise devices.count",
                )

    @property
    def num_byzantine(self) -> int:
        """The number of faults that rules and decoders are told."""
        return self.byzantine if self.assumed_byzantine is None else self.assumed_byzantine


@dataclass(frozen=True, slots=True)
class Logging:
    """What is recorded, and how often.

    Parameters
    ----------
    evaluate_every : int, optional
        Iterations between two evaluations of loss, accuracy, gradient and dispersion. The
        first and the last iteration are always evaluated. If left out, small models are
        evaluated in every iteration. For others the interval is chosen so that evaluation takes
        about a quarter of the work of training, but a run is evaluated at least 20 times.
    flush_every : int
        Iterations between two writes of the records to disk.
    warmup_iterations : int
        First iterations that analyses leave out of timings.
    swmr : bool
        Whether other programs can read the log while it is written. Set it to false on
        file systems without POSIX semantics, such as NFS.
    host_details : bool
        Whether the log names the command line, the processes, the hosts, jobs and queues.
    """

    evaluate_every: Annotated[Count | None, Example(10)] = None
    flush_every: Count = 50
    warmup_iterations: CountOrZero = 10
    swmr: bool = True
    host_details: bool = True

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class Safety:
    """Checkpoints and time limits; they change no number and no identity.

    Parameters
    ----------
    checkpoint_every : int
        Iterations between two checkpoints; 0 for no checkpoints by iteration.
    checkpoint_every_s : float
        Seconds between two checkpoints; 0 for no checkpoints by time.
    timeout_s : float
        Seconds that a rank waits for the others in one collective. Then it ends the job.
        0 for no limit.
    """

    checkpoint_every: CountOrZero = 0
    checkpoint_every_s: Seconds = 300.0
    timeout_s: Seconds = 600.0

    def __post_init__(self) -> None:
        check_parameters(self)


#: Each needs some columns of its own, and a header in every message.
_MOST_SERVERS = 32


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The server; it changes times only. A run can go on with another number of ranks.

    Parameters
    ----------
    ranks : int
        S, the number of ranks that are servers. Each receives a slice of every message, and
        validates and aggregates it. One process plays all servers if it is alone.
    """

    ranks: Annotated[int, Ge(1), Le(_MOST_SERVERS)] = 1

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """The network between the ranks; it changes times only, not the identity of a run.

    Parameters
    ----------
    emulate : Network, optional
        A slower network to emulate by waiting; None for none.
    """

    emulate: Network | None = None

    @property
    def emulated(self) -> str:
        """The emulated network in one line for the log; empty if there is none."""
        return "" if self.emulate is None else str(self.emulate)


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The array library and the floating-point type.

    Parameters
    ----------
    kind : {"numpy", "cupy"}
        ``"numpy"`` computes on the host, ``"cupy"`` on a GPU.
    dtype : {"float64", "float32"}
        Type of the model, the gradients and the messages.
    gpu_transfers : {"staged", "direct"}, optional
        How messages leave a GPU: MPI sends copies in pinned host memory, or reads the
        GPU's memory itself, which needs a GPU-aware MPI. With a GPU the default is
        ``"staged"``; ``lad-mpi doctor`` tries whether ``"direct"`` works.
    """

    kind: BackendKind = "numpy"
    dtype: DtypeName = "float64"
    gpu_transfers: TransferKind | None = None

    def __post_init__(self) -> None:
        """Set the default of a GPU, and refuse a choice where there is none."""
        if self.kind == "cupy" and self.gpu_transfers is None:
            object.__setattr__(self, "gpu_transfers", "staged")
        if self.kind == "numpy" and self.gpu_transfers is not None:
            raise ParameterError(
                "gpu_transfers",
                'has no effect with backend.kind = "numpy", which keeps no arrays on a GPU',
                hint='leave it out, or set backend.kind = "cupy"',
            )


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that determines the numbers of a run.

    Parameters
    ----------
    name : str
        Label of the method in tables and figures.
    seed : int
        Key of all random streams.
    iterations : int
        T, the number of iterations.
    compute : {"faithful", "shared"}
        ``"faithful"`` computes one gradient for every device over all its subsets, so that
        times are real. ``"shared"`` computes the gradient of each subset once a rank. The
        results agree up to rounding.
    data : DataPlan
        What is learned from.
    model : Model
        What is trained.
    devices : Devices
        The participants.
    coding : Code
        Which device computes the gradients of which subsets.
    compression : Codec
        How a vector becomes a message.
    attack : LocalAttack, OmniscientAttack, DataAttack or WireAttack
        What Byzantine devices send.
    aggregation : Pipeline or None
        The rule, with the pre-aggregations before it. None for a code that decodes.
    fallback : Pipeline or None
        The rule for iterations in which a decoder fails. If None, the run stops there.
    optimizer : Updates
        How the server moves the model.
    server : ServerChoice
        How many ranks are servers.
    logging : Logging
        What is recorded, and how often.
    safety : Safety
        Checkpoints and time limits. They change no number.
    network : NetworkChoice
        An emulated network. It changes times only.
    backend : BackendChoice
        The array library and the floating-point type.
    """

    name: str = "run"
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 1
    iterations: Count = 1500
    compute: ComputeMode = "faithful"
    data: DataPlan = field(default_factory=lambda: DataPlan(Synthetic()))
    model: Model = field(default_factory=LinearRegression)
    devices: Devices = field(default_factory=Devices)
    coding: Code = field(default_factory=Cyclic)
    compression: Codec = field(default_factory=NoCompression)
    attack: LocalAttack | OmniscientAttack | DataAttack | WireAttack = field(
        default_factory=SignFlip
    )
    aggregation: Pipeline | None = field(
        default_factory=lambda: Pipeline((), TrimmedMean(num_byzantine=20))
    )
    fallback: Pipeline | None = None
    optimizer: Updates = field(default_factory=Updates)
    logging: Logging = field(default_factory=Logging)
    server: ServerChoice = field(default_factory=ServerChoice)
    safety: Safety = field(default_factory=Safety)
    network: NetworkChoice = field(default_factory=NetworkChoice)
    backend: BackendChoice = field(default_factory=BackendChoice)

    def __post_init__(self) -> None:
        """Refuse values out of range, and classes that are not components."""
        check_parameters(self)
        if not self.name.strip() or not self.name.isprintable():
            raise ParameterError("name", "must be a non-empty line of printable characters")
        if len(self.name) > _LONGEST_NAME:
            raise ParameterError(
                "name", f"must have at most {_LONGEST_NAME} characters, not {len(self.name)}"
            )
        for place, family, component in self._components():
            if faults := FAMILIES[family].complaints(type(component)):
                raise ParameterError(place, faults)

    def without_host_details(self) -> Spec:
        """Return the same run, with a log that does not name hosts and jobs."""
        return replace(self, logging=replace(self.logging, host_details=False))

    def _components(self) -> Iterator[tuple[str, str, object]]:
        """Yield the place, the family and the component of each."""
        yield "data", "data", self.data.source
        yield "model", "model", self.model
        yield "optimizer", "optimizer", self.optimizer.method
        yield "optimizer.schedule", "schedule", self.optimizer.schedule
        yield "coding", "coding", self.coding
        yield "compression", "compression", self.compression
        yield "attack", "attack", self.attack
        for place, pipeline in (("aggregation", self.aggregation), ("fallback", self.fallback)):
            if pipeline is not None:
                yield place, "aggregation", pipeline.rule
                yield from ((f"{place}.pre", "pre", step) for step in pipeline.pre)

    def server_columns(self, values: int, servers: int | None = None) -> dict[int, slice]:
        """Return the columns of each server that holds any, by its number.

        Parameters
        ----------
        values : int
            Numbers in a message before compression.
        servers : int, optional
            S; that of the spec if left out.
        """
        codec = column_codec(self.compression)
        unit = 1 if codec is None or codec.column_unit is None else codec.column_unit
        count = self.server.ranks if servers is None else servers
        ranges = server_ranges(values, count, unit)
        return {number: part for number, part in enumerate(ranges) if part.start < part.stop}

    def largest_share(self, values: int, servers: int | None = None) -> float:
        """Return the share of the columns of the server that holds most."""
        ranges = self.server_columns(values, servers).values()
        most: int = max(part.stop - part.start for part in ranges)
        return most / values
