"""A run as data: one frozen tree of components."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from lad_mpi.aggregation import Pipeline, TrimmedMean
from lad_mpi.arrays import BackendKind, DtypeName  # noqa: TC001  (types are read at run time)
from lad_mpi.attacks import LocalAttack, OmniscientAttack, SignFlip, WireAttack
from lad_mpi.coding import Code, Cyclic
from lad_mpi.compression import Codec, NoCompression
from lad_mpi.errors import ParameterError
from lad_mpi.network import Network  # noqa: TC001
from lad_mpi.problems import LinearRegression, Problem
from lad_mpi.spec.components import FAMILIES
from lad_mpi.types import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

ComputeMode = Literal["faithful", "shared"]
TransferKind = Literal["direct", "staged"]
#: Characters of a label.
_LONGEST_NAME = 1000


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ParameterError(name, f"must be at least {least}, not {value}")
        if value > LARGEST_COUNT:
            raise ParameterError(name, f"must be at most {LARGEST_COUNT}, not {value}")


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

    count: int = 100
    byzantine: int = 20
    assumed_byzantine: int | None = None

    def __post_init__(self) -> None:
        """Refuse faults that are not a minority, which no rule survives."""
        _at_least(1, count=self.count)
        for name in ("byzantine", "assumed_byzantine"):
            faults = getattr(self, name)
            if faults is None:
                continue
            _at_least(0, **{name: faults})
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
    step_size: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse steps that do not descend."""
        if not 0 < self.step_size < float("inf"):
            raise ParameterError("step_size", f"must be positive and finite, not {self.step_size}")


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

    evaluate_every: int = 1
    flush_every: int = 50
    warmup_iterations: int = 10
    swmr: bool = True
    host_details: bool = True

    def __post_init__(self) -> None:
        """Refuse intervals below one."""
        _at_least(1, evaluate_every=self.evaluate_every, flush_every=self.flush_every)
        _at_least(0, warmup_iterations=self.warmup_iterations)


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

    checkpoint_every: int = 0
    checkpoint_every_s: float = 300.0
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse intervals that are none."""
        _at_least(0, checkpoint_every=self.checkpoint_every)
        for name in ("checkpoint_every_s", "timeout_s"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ParameterError(name, f"must be at least 0 and finite, not {value}")


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
    seed: int = 1
    iterations: int = 1500
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
        if not 0 <= self.seed < 2**63:
            raise ParameterError("seed", f"must be between 0 and 2**63 - 1, not {self.seed}")
        _at_least(1, iterations=self.iterations)
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
