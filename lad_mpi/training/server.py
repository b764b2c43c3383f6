"""The server: model, inbox, aggregation."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from lad_mpi.arrays import to_host
from lad_mpi.attacks import AttackContext, OmniscientAttack
from lad_mpi.coding import DecodeStatus, DecodingCode
from lad_mpi.compression import Rejection
from lad_mpi.errors import ParameterError, RunFailedError
from lad_mpi.wire import ArrivingMessages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lad_mpi.aggregation import Arriving, Pipeline
    from lad_mpi.training.setup import Setup
    from lad_mpi.types import Array, HostBytes, HostFloats, HostInts, Metric


class Server:
    """Holds the model and turns messages into steps.

    Parameters
    ----------
    setup : Setup
        The run on rank 0.

    Attributes
    ----------
    model : array, shape (Q,)
        x, in the backend's memory.
    decoder_status : DecodeStatus
        Of the last aggregation.
    metrics : tuple of Metric
        What the rule reports of an aggregation; empty if it reports nothing.
    reported : dict of str to float
        A number for each of these by name, of the last aggregation; NaN if the rule
        was not used, because there was none yet or the decoder did without.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.model: Array = setup.problem.initial_model()
        self.decoder_status = DecodeStatus.NOT_USED
        self._rule_state: Array | None = None
        self._arrived: HostFloats | None = None
        # Looked up once: a check against a protocol costs more than a small rule.
        attack, code = setup.spec.attack, setup.spec.coding
        anyone = len(setup.byzantine) > 0
        self._attack = attack if isinstance(attack, OmniscientAttack) and anyone else None
        self._decoder = code if isinstance(code, DecodingCode) else None
        rule = setup.spec.aggregation if self._decoder is None else setup.spec.fallback
        self.metrics: tuple[Metric, ...] = () if rule is None else rule.metrics
        self.reported = self._nothing_reported()

    @property
    def rule_state(self) -> HostFloats | None:
        """What a stateful rule carries to the next iteration, in host memory."""
        return None if self._rule_state is None else to_host(self._rule_state)

    def restore(self, model: HostFloats, rule_state: HostFloats | None) -> None:
        """Go on from the state of a checkpoint."""
        backend = self._setup.backend
        self.model = backend.asarray(model).copy()
        self._rule_state = None if rule_state is None else backend.asarray(rule_state)

    def receive(self, inbox: Array, iteration: int) -> tuple[Array, HostInts]:
        """Validate and unpack all messages; see :meth:`MessageFormat.unpack`.

        Raises
        ------
        RunFailedError
            An honest device sent what is refused, which it does only where its
            gradient is not finite, or beyond the range of the codec. Refusing it in
            silence would hide that.
        """
        channel = self._setup.channel(iteration, 0, len(inbox))
        vectors, rejections = self._setup.packing.unpack(inbox, channel)
        self.check_honest(rejections, iteration)
        return vectors, rejections

    def arriving(
        self, inbox: HostBytes, iteration: int
    ) -> tuple[ArrivingMessages, Arriving | None]:
        """Begin to receive messages before they have arrived.

        Returns
        -------
        messages : ArrivingMessages
            Unpacks them, once they have.
        begun : Arriving or None
            Aggregates what is unpacked; None where aggregation needs all messages whole.

        Raises
        ------
        RunFailedError
            The rule does not fit the messages.
        """
        setup = self._setup
        # A rule may keep rows of an iteration's messages as its state.
        if self._arrived is None or self._rule_state is not None:
            self._arrived = np.empty((len(inbox), setup.message_dimension), setup.backend.dtype)
        channel = setup.channel(iteration, 0, len(inbox))
        messages = ArrivingMessages(setup.messages, inbox, channel, self._arrived)
        rule = setup.spec.aggregation
        if rule is None or self._attack is not None or self._decoder is not None:
            return messages, None
        with rule_errors_named():
            return messages, rule.begin(messages.vectors)

    def check_honest(self, rejections: HostInts, iteration: int) -> None:
        """Stop a run in which messages of honest devices are refused; see :meth:`receive`."""
        if not rejections.any():
            return
        refused = self._setup.honest[rejections[self._setup.honest] != int(Rejection.NONE)]
        if len(refused):
            codec = self._setup.spec.compression.kind
            beyond = "" if codec == "none" else f" or larger than compression {codec!r} carries"
            raise diverged(
                f"in iteration {iteration} the gradients of {len(refused)} honest devices "
                f"are not finite{beyond}, that of device {refused[0]} first"
            )

    def simulate(self, vectors: Array, rejections: HostInts, iteration: int) -> None:
        """Let omniscient attackers replace their messages, in place.

        What they craft passes through the same codec and the same validation
        as every other message: the wire admits nothing else.
        """
        setup = self._setup
        attack, devices = self._attack, setup.spec.devices
        if attack is None:
            return
        honest = vectors[setup.honest]
        context = AttackContext(
            setup.streams, iteration, setup.byzantine, devices.count, devices.byzantine
        )
        try:
            crafted = attack.craft(honest, context)
        except ParameterError as error:
            raise RunFailedError(f"attack.{error}", hint=error.hint) from error
        channel = setup.channel(iteration, 0, devices.count, setup.byzantine)
        packing = setup.packing
        slots = packing.new_slots(len(setup.byzantine))
        packing.pack(crafted, channel, slots)
        vectors[setup.byzantine], rejections[setup.byzantine] = packing.unpack(slots, channel)

    def aggregate(self, messages: Array, iteration: int, begun: Arriving | None = None) -> Array:
        """Estimate ∇F by the rule, or by the decoder and, where that fails, the fallback.

        Parameters
        ----------
        messages : array, shape (N, Q)
        iteration : int
            t.
        begun : Arriving, optional
            What :meth:`arriving` began with these messages.

        Raises
        ------
        RunFailedError
            The decoder failed and there is no fallback.
        """
        spec = self._setup.spec
        code = self._decoder
        if code is None:
            return self._apply(spec.aggregation, messages, iteration, begun)
        decoded = code.decode(
            messages,
            self._setup.assignment(iteration),
            spec.devices.num_byzantine,
            streams=self._setup.streams,
            iteration=iteration,
        )
        self.decoder_status = decoded.status
        self.reported = self._nothing_reported()
        if decoded.status == DecodeStatus.EXACT:
            return decoded.gradient
        if spec.fallback is None:
            raise RunFailedError(
                f"{code.kind} could not decode in iteration {iteration}: {decoded.detail}",
                hint="add a [fallback] rule to go on with in such iterations"
                if code.message_parts == 1
                else "draco_cyclic_real and draco_repetition can decode what this code cannot",
            )
        return self._apply(spec.fallback, messages, iteration)

    def update(self, estimate: Array) -> None:
        """Take one step, x ← x − γ ĝ."""
        self.model -= self._setup.spec.optimizer.step_size * estimate

    def check_finite(self, iteration: int) -> None:
        """Stop a run whose model has diverged.

        Raises
        ------
        RunFailedError
            The model holds a value that is not finite.
        """
        if not bool(self._setup.backend.xp.isfinite(self.model).all()):
            raise diverged(f"the model is not finite after iteration {iteration}")

    def _apply(
        self,
        rule: Pipeline | None,
        messages: Array,
        iteration: int,
        begun: Arriving | None = None,
    ) -> Array:
        if rule is None:
            raise RunFailedError("this run has neither a rule nor a decoder")
        with rule_errors_named():
            estimate, self._rule_state, reported = rule.step(
                messages,
                streams=self._setup.streams,
                iteration=iteration,
                state=self._rule_state,
                begun=begun,
            )
        names = (metric.name for metric in rule.metrics)
        self.reported = dict(zip(names, reported, strict=True))
        return estimate

    def _nothing_reported(self) -> dict[str, float]:
        return {metric.name: math.nan for metric in self.metrics}


@contextlib.contextmanager
def rule_errors_named() -> Iterator[None]:
    """Say of a parameter that does not fit that it is the rule's."""
    try:
        yield
    except ParameterError as error:
        raise RunFailedError(f"aggregation.{error}", hint=error.hint) from error


def diverged(what: str) -> RunFailedError:
    """Describe numbers that have left the range of floating point."""
    return RunFailedError(
        f"diverged: {what}",
        hint="lower optimizer.step_size, use a rule that withstands the attack, or see "
        "whether the data are of reasonable size",
    )


def count_refusals(rejections: HostInts) -> HostInts:
    """Count messages by :class:`Rejection`, int64, shape (reasons,), the accepted ones first."""
    return np.bincount(rejections, minlength=len(Rejection))
