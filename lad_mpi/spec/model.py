"""A run as data: one frozen tree of components."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

from lad_mpi.aggregation import Pipeline, TrimmedMean
from lad_mpi.arrays import BackendKind, DtypeName  # noqa: TC001  (types are read at run time)
from lad_mpi.attacks import LocalAttack, OmniscientAttack, SignFlip, WireAttack
from lad_mpi.coding import Code, Cyclic
from lad_mpi.compression import Codec, NoCompression
from lad_mpi.errors import ParameterError
from lad_mpi.network import Network  # noqa: TC001
from lad_mpi.parameters import Count, CountOrZero, Example, Positive, Seconds, check_parameters
from lad_mpi.problems import LinearRegression, Problem
from lad_mpi.spec.components import FAMILIES

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
        N, which is also the number of data subsets.
    byzantine : int
        f, how many of them are faulty; who they are is drawn from the seed.
    assumed_byzantine : int, optional
        What rules and decoders believe f to be; ``byzantine`` if left out.
    """

    count: Count = 100
    byzantine: CountOrZero = 20
    assumed_byzantine: Annotated[CountOrZero | None, Example(25)] = None

    def __post_init__(self) -> None:
        """Refuse faults that are not a minority, which no rule survives."""
        check_parameters(self)
        counts = {"byzantine": self.byzantine, "assumed_byzantine": self.num_byzantine}
        for name, faults in counts.items():
            if 2 * faults >= self.count:
                raise ParameterError(
                    name,
                    f"{faults} of {self.count} devices is no minority; "
                    f"at most {(self.count - 1) // 2} can be tolerated",
                    hint=f"lower devices.{name} or raise devices.count",
                )

    @property
    def num_byzantine(self) -> int:
        """The number of faults that rules and decoders are told."""
        return self.byzantine if self.assumed_byzantine is None else self.assumed_byzantine


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How the server moves the model.

    Parameters
    ----------
    kind : {"gd"}
        Gradient descent, x ← x − γ ĝ.
    step_size : float
        γ.
    """

    kind: Literal["gd"] = "gd"
    step_size: Positive = 1e-3

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class Logging:
    """What is recorded, and how often.

    Parameters
    ----------
    evaluate_every : int
        Loss, gradient and dispersion are evaluated every so many iterations,
        and at the first and the last.
    flush_every : int
        Records reach the disk every so many iterations.
    warmup_iterations : int
        How many first iterations analyses leave out of timings.
    swmr : bool
        Keep the file readable at any moment; off for file systems without POSIX
        semantics, NFS among them.
    host_details : bool
        Record the command line, the processes, and the names of hosts, jobs and queues.
    """

    evaluate_every: Count = 1
    flush_every: Count = 50
    warmup_iterations: CountOrZero = 10
    swmr: bool = True
    host_details: bool = True

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class Safety:
    """What guards a run; it changes no number, so it is no part of a run's identity.

    Parameters
    ----------
    checkpoint_every : int
        A checkpoint every so many iterations; 0 for none by count.
    checkpoint_every_s : float
        A checkpoint after so many seconds since the last one; 0 for none by time.
    timeout_s : float
        How long a rank waits for others, in one collective, before it takes them for
        lost and ends the job; 0 for ever.
    """

    checkpoint_every: CountOrZero = 0
    checkpoint_every_s: Seconds = 300.0
    timeout_s: Seconds = 600.0

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """What the ranks talk over; it changes times only, so it is no part of a run's identity.

    Parameters
    ----------
    emulate : Network, optional
        A slower network, whose times are waited for; None for the one that is there.
    """

    emulate: Network | None = None

    @property
    def emulated(self) -> str:
        """The emulated network in one line, as a log tells it; empty where there is none."""
        return "" if self.emulate is None else str(self.emulate)


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The array library and the floating-point type.

    Parameters
    ----------
    kind : {"numpy", "cupy"}
        Host or GPU.
    dtype : {"float64", "float32"}
        Of model, gradients and messages.
    gpu_transfers : {"direct", "staged"}, optional
        Whether MPI is handed arrays of the GPU or copies in host memory. Left out, it
        is tried which of them works and is faster. It changes times only, so it is no
        part of a run's identity.
    """

    kind: BackendKind = "numpy"
    dtype: DtypeName = "float64"
    gpu_transfers: TransferKind | None = None

    def __post_init__(self) -> None:
        """Refuse to choose a way for what is not there."""
        if self.kind == "numpy" and self.gpu_transfers is not None:
            raise ParameterError(
                "gpu_transfers",
                'concerns arrays of a GPU, and there are none with backend.kind = "numpy"',
                hint='leave it out, or set backend.kind = "cupy"',
            )


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that determines the numbers of a run.

    Attributes
    ----------
    name : str
        Label of the method, as tables and figures show it.
    seed : int
        Key of all random streams.
    iterations : int
        T.
    compute : {"faithful", "shared"}
        Whether redundant gradients are computed as often as devices would, or
        once a rank. The results are the same bits.
    overlap : bool
        Whether messages are gathered in slices of columns, each worked on by the
        server while the next is under way. The results are the same bits.
    problem, devices, coding, compression, attack, optimizer, logging, safety, network, backend
        The components.
    aggregation : Pipeline or None
        Rule with its pre-aggregations; None for a code that decodes.
    fallback : Pipeline or None
        What is used in an iteration in which a decoder fails; the run stops if None.
    """

    name: str = "run"
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 1
    iterations: Count = 1500
    compute: ComputeMode = "faithful"
    overlap: bool = False
    problem: Problem = field(default_factory=LinearRegression)
    devices: Devices = field(default_factory=Devices)
    coding: Code = field(default_factory=Cyclic)
    compression: Codec = field(default_factory=NoCompression)
    attack: LocalAttack | OmniscientAttack | WireAttack = field(default_factory=SignFlip)
    aggregation: Pipeline | None = field(
        default_factory=lambda: Pipeline((), TrimmedMean(num_byzantine=20))
    )
    fallback: Pipeline | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    logging: Logging = field(default_factory=Logging)
    safety: Safety = field(default_factory=Safety)
    network: NetworkChoice = field(default_factory=NetworkChoice)
    backend: BackendChoice = field(default_factory=BackendChoice)

    def __post_init__(self) -> None:
        """Refuse values outside the streams' keys, empty runs, and what is no component."""
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
        """Return the same run, whose log tells less of where it was made."""
        return replace(self, logging=replace(self.logging, host_details=False))

    def _components(self) -> Iterator[tuple[str, str, object]]:
        """Yield each component, after its place and its family."""
        yield "problem", "problem", self.problem
        yield "coding", "coding", self.coding
        yield "compression", "compression", self.compression
        yield "attack", "attack", self.attack
        for place, pipeline in (("aggregation", self.aggregation), ("fallback", self.fallback)):
            if pipeline is not None:
                yield place, "aggregation", pipeline.rule
                yield from ((f"{place}.pre", "pre", step) for step in pipeline.pre)
