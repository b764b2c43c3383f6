"""The server: hold the model, receive messages, aggregate and update."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.attacks import AttackContext, OmniscientAttack, StatefulAttack
from lad_mpi.coding import Decoded, DecodeStatus, DecodingCode
from lad_mpi.columns import agreed, shared_columns
from lad_mpi.compression import Rejection
from lad_mpi.errors import ParameterError, RunFailedError
from lad_mpi.metrics import dispersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lad_mpi.aggregation import Pipeline
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostFloats, HostInts, Metric


#: Names in the server's state: that of a stateful rule, and prefixes of others.
RULE_STATE = "rule/state"
_OPTIMIZER, _ATTACK = "optimizer/", "attack/"
_DISPERSION = "evaluation/dispersion"
#: Numbers of crafted vectors that are packed at once.
_MOST_PACKED = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the servers measure for an evaluation.

    Parameters
    ----------
    estimate : array, shape (Q,)
        The aggregate ĝ.
    dispersion : float
        Of the honest messages.
    """

    estimate: Array
    dispersion: float


class Server:
    """Holds the model, validates and aggregates messages, and updates the model.

    With several servers, each holds a range of columns of everything. All of them make the
    same calls. Their decisions are the same, because they come from numbers that they agree on.

    Parameters
    ----------
    setup : Setup
        The run on a rank that receives messages.

    Attributes
    ----------
    model : array, shape (q,)
        This server's columns of the model x, in the backend's memory.
    expected_dispersion : ndarray of float64, shape (1,)
        Expected dispersion of the honest messages of the last evaluated iteration.
    decoder_status : DecodeStatus
        Outcome of the decoder in the last aggregation.
    metrics : tuple of Metric
        Metrics that the rule reports; empty if it reports none.
    reported : dict of str to float
        Values of these metrics by name, from the last aggregation. NaN before the first
        aggregation, or if the decoder succeeded and the rule was not used.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        if setup.unpacking is None:
            raise RuntimeError("a server receives messages")
        self._unpacking = setup.unpacking
        self._own = setup.own_columns
        whole = setup.objective.initial_model(setup.streams)
        self.model: Array = whole if self._own is None else whole[self._own.columns].copy()
        self.decoder_status = DecodeStatus.NOT_USED
        self._rule_state: Array | None = None
        self.expected_dispersion: Array = np.zeros(1)
        # isinstance on a protocol costs more than a small rule, so check once.
        attack, code = setup.spec.attack, setup.spec.coding
        anyone = len(setup.byzantine) > 0
        self._attack = attack if isinstance(attack, OmniscientAttack) and anyone else None
        self._learning = attack if isinstance(attack, StatefulAttack) and anyone else None
        count = len(self.model) * setup.spec.coding.message_parts
        message = setup.backend.xp.zeros(count, dtype=setup.backend.dtype)
        self._attack_state = {} if self._learning is None else self._learning.initial_state(message)
        self._updates = setup.spec.optimizer
        self._optimizer_state = self._updates.method.initial_state(self.model)
        self._decoder = code if isinstance(code, DecodingCode) else None
        rule = setup.spec.aggregation if self._decoder is None else setup.spec.fallback
        self.metrics: tuple[Metric, ...] = () if rule is None else rule.metrics
        self.reported = self._nothing_reported()

    @property
    def state(self) -> dict[str, Array]:
        """What the server keeps between iterations, by name, the model included."""
        rule = {} if self._rule_state is None else {RULE_STATE: self._rule_state}
        return {
            "model": self.model,
            **{_OPTIMIZER + name: array for name, array in self._optimizer_state.items()},
            **{_ATTACK + name: array for name, array in self._attack_state.items()},
            **rule,
            _DISPERSION: self.expected_dispersion,
        }

    def restore(self, arrays: Mapping[str, HostFloats]) -> None:
        """Set the state from a checkpoint, as :meth:`collect_state` names it."""
        backend = self._setup.backend

        def copied(name: str) -> Array:
            array = arrays[name]
            if self._own is not None and array.shape == (self._setup.dimension,):
                array = array[self._own.columns]
            return backend.asarray(array, dtype=array.dtype).copy()

        self.model = copied("model")
        self._optimizer_state = {name: copied(_OPTIMIZER + name) for name in self._optimizer_state}
        self._attack_state = {name: copied(_ATTACK + name) for name in self._attack_state}
        self._rule_state = copied(RULE_STATE) if RULE_STATE in arrays else None
        self.expected_dispersion = np.array(arrays[_DISPERSION])

    def shape_of(self, array: Array) -> tuple[int, ...]:
        """Return the shape of an array of the state, with the columns of all servers."""
        return (self._setup.dimension,) if self._is_by_columns(array) else array.shape

    def collect_state(self) -> dict[str, HostFloats]:
        """Return the state with the columns of all servers, on the first of them, by name."""
        found = {name: self.joined(array) for name, array in self.state.items()}
        return {name: to_host(array) for name, array in found.items() if array is not None}

    def joined(self, array: Array) -> Array | None:
        """Return an array with the columns of all servers, on the first; None on the others.

        An array that is not by columns is returned as it is.
        """
        servers = self._setup.servers
        if servers is None or not self._is_by_columns(array):
            return array
        counts = [part.columns.stop - part.columns.start for part in self._setup.messages.parts]
        return servers.collect(array, counts)

    def _is_by_columns(self, array: Array) -> bool:
        return self._own is not None and array.shape == self.model.shape

    def receive(self, inbox: Array, iteration: int) -> tuple[Array, HostInts]:
        """Validate and unpack all messages; see :meth:`MessageFormat.unpack`.

        Raises
        ------
        RunFailedError
            A message of an honest device is refused. This only happens if its gradient is
            not finite or exceeds the range of the codec, so the run has diverged.
        """
        channel = self._setup.channel(iteration, 0, len(inbox))
        vectors, rejections = self._unpacking.unpack(inbox, channel)
        rejections = self._agree(vectors, rejections)
        self.check_honest(rejections, iteration)
        return vectors, rejections

    def _agree(self, vectors: Array, rejections: HostInts) -> HostInts:
        """Refuse a message as a whole if any server refuses its part, for the first reason."""
        if self._own is None:
            return rejections
        found = np.concatenate(self._own.servers.exchange(rejections[None].astype(np.float64)))
        reasons = found.astype(np.int64)
        first: HostInts = reasons[(reasons != 0).argmax(axis=0), np.arange(len(rejections))]
        if (first != rejections).any():
            vectors[first != int(Rejection.NONE)] = 0
        return first

    def check_honest(self, rejections: HostInts, iteration: int) -> None:
        """Raise if a message of an honest device is refused; see :meth:`receive`."""
        if not rejections.any():
            return
        refused = self._setup.honest[rejections[self._setup.honest] != int(Rejection.NONE)]
        if len(refused):
            codec = self._setup.spec.compression.kind
            beyond = "" if codec == "none" else f" or exceed the range of compression {codec!r}"
            raise diverged(
                f"in iteration {iteration} the gradients of {len(refused)} honest devices "
                f"are not finite{beyond}; the first is device {refused[0]}"
            )

    def simulate(self, vectors: Array, rejections: HostInts, iteration: int) -> None:
        """Replace the messages of omniscient attackers, in place.

        The crafted vectors pass through the same codec and validation as all messages.
        """
        setup = self._setup
        attack, devices = self._attack, setup.spec.devices
        if attack is None:
            return
        honest = vectors[setup.honest]

        def aggregate(crafted: Array) -> Array:
            return self._tried(vectors, crafted, iteration)

        context = AttackContext(
            setup.streams,
            iteration,
            setup.byzantine,
            devices.count,
            devices.byzantine,
            aggregate=aggregate if setup.spec.coding.message_parts == 1 else None,
        )
        try:
            with shared_columns(self._own):
                if self._learning is not None:
                    crafted = self._learning.advance(honest, context, self._attack_state)
                else:
                    crafted = attack.craft(honest, context)
        except ParameterError as error:
            raise RunFailedError(f"attack.{error}", hint=error.hint) from error
        self._transmit(crafted, vectors, rejections, iteration)

    def _transmit(
        self, crafted: Array, vectors: Array, rejections: HostInts, iteration: int
    ) -> None:
        """Pass crafted vectors through the codec and validation, a few at a time."""
        setup = self._setup
        step = max(1, _MOST_PACKED // crafted.shape[1])
        refused = np.zeros_like(rejections)
        for start in range(0, len(crafted), step):
            devices = setup.byzantine[start : start + step]
            channel = setup.channel(iteration, 0, setup.spec.devices.count, devices)
            slots = self._unpacking.new_slots(len(devices))
            self._unpacking.pack(crafted[start : start + step], channel, slots)
            vectors[devices], refused[devices] = self._unpacking.unpack(slots, channel)
        refused = self._agree(vectors, refused)
        rejections[setup.byzantine] = refused[setup.byzantine]

    def measure(self, messages: Array, estimate: Array) -> Measured | None:
        """Return what evaluation needs, on the first server; None on the others."""
        with shared_columns(self._own):
            spread = dispersion(messages, self._setup.honest)
        whole = self.joined(estimate)
        return None if whole is None else Measured(whole, spread)

    def aggregate(self, messages: Array, iteration: int) -> Array:
        """Estimate ∇F with the rule, or with the decoder and, if it fails, the fallback rule.

        Parameters
        ----------
        messages : array, shape (N, Q)
            The validated messages.
        iteration : int
            Iteration t.

        Returns
        -------
        array, shape (Q,)
            The estimate ĝ.

        Raises
        ------
        RunFailedError
            The decoder failed and there is no fallback, or a parameter of the rule does
            not fit the messages.
        """
        with shared_columns(self._own):
            return self._aggregate(messages, iteration)

    def _aggregate(self, messages: Array, iteration: int) -> Array:
        spec, code = self._setup.spec, self._decoder
        if code is None:
            return self._apply(spec.aggregation, messages, iteration)
        decoded = self._decode(code, messages, iteration)
        self.decoder_status = decoded.status
        self.reported = self._nothing_reported()
        if decoded.status == DecodeStatus.EXACT:
            return decoded.gradient
        if spec.fallback is None:
            raise RunFailedError(
                f"{code.kind} could not decode in iteration {iteration}: {decoded.detail}",
                hint="add a [fallback] rule for iterations that cannot be decoded"
                if code.message_parts == 1
                else "use draco_cyclic_real or draco_repetition, which allow a [fallback] rule",
            )
        return self._apply(spec.fallback, messages, iteration)

    def update(self, estimate: Array, iteration: int) -> None:
        """Take one step of the optimizer."""
        # If the model overflows, check_finite says so.
        with np.errstate(over="ignore", invalid="ignore"):
            self._updates.apply(
                self.model,
                estimate,
                self._optimizer_state,
                iteration,
                self._setup.spec.iterations,
            )

    def check_finite(self, iteration: int) -> None:
        """Raise if the model has diverged.

        Raises
        ------
        RunFailedError
            A value of the model is not finite.
        """
        broken = not bool(self._setup.backend.xp.isfinite(self.model).all())
        with shared_columns(self._own):
            broken = bool(agreed(np.array([broken], dtype=np.float64))[0])
        if broken:
            raise diverged(f"the model is not finite after iteration {iteration}")

    def _decode(self, code: DecodingCode, messages: Array, iteration: int) -> Decoded:
        return code.decode(
            messages,
            self._setup.assignment(iteration),
            self._setup.spec.devices.num_byzantine,
            streams=self._setup.streams,
            iteration=iteration,
        )

    def _tried(self, vectors: Array, crafted: Array, iteration: int) -> Array:
        """Return the estimate if Byzantine devices sent some vectors; for attacks."""
        messages = vectors.copy()
        # The server refuses messages that are not finite, and uses zeros instead.
        xp = self._setup.backend.xp
        fine = xp.isfinite(crafted).all(axis=1, keepdims=True)
        messages[self._setup.byzantine] = xp.where(fine, crafted, 0)
        spec = self._setup.spec
        if self._decoder is not None:
            decoded = self._decode(self._decoder, messages, iteration)
            if decoded.status == DecodeStatus.EXACT or spec.fallback is None:
                return decoded.gradient
        rule = spec.aggregation if self._decoder is None else spec.fallback
        if rule is None:
            raise RunFailedError("this run has neither a rule nor a decoder")
        with rule_errors_named():
            return rule.step(
                messages,
                streams=self._setup.streams,
                iteration=iteration,
                state=self._rule_state,
            ).estimate

    def _apply(self, rule: Pipeline | None, messages: Array, iteration: int) -> Array:
        if rule is None:
            raise RunFailedError("this run has neither a rule nor a decoder")
        with rule_errors_named():
            estimate, self._rule_state, reported = rule.step(
                messages,
                streams=self._setup.streams,
                iteration=iteration,
                state=self._rule_state,
            )
        state = self._rule_state
        if self._setup.messages.in_place and state is not None:
            # A state may be a view of the messages. The next ones arrive in the same memory.
            self._rule_state = state.copy() if np.may_share_memory(state, messages) else state
        names = (metric.name for metric in rule.metrics)
        self.reported = dict(zip(names, reported, strict=True))
        return estimate

    def _nothing_reported(self) -> dict[str, float]:
        return {metric.name: math.nan for metric in self.metrics}


@contextlib.contextmanager
def rule_errors_named() -> Iterator[None]:
    """Turn a ParameterError of the rule into a RunFailedError that names ``aggregation``."""
    try:
        yield
    except ParameterError as error:
        raise RunFailedError(f"aggregation.{error}", hint=error.hint) from error


def diverged(what: str) -> RunFailedError:
    """Return the error of a run whose numbers are no longer finite."""
    return RunFailedError(
        f"diverged: {what}",
        hint="lower optimizer.step_size, use a rule that resists the attack, or check the "
        "scale of the data",
    )


def count_refusals(rejections: HostInts) -> HostInts:
    """Count messages per :class:`Rejection`, int64, shape (reasons,); index 0 are accepted."""
    return np.bincount(rejections, minlength=len(Rejection))
