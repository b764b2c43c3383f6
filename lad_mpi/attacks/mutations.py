"""The faults that :class:`~lad_mpi.attacks.Mutate` makes in a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from lad_mpi.attacks.base import Envelope
    from lad_mpi.types import HostBytes

    #: Changes bytes in place, by random numbers of its own.
    Fault: TypeAlias = Callable[[HostBytes, np.random.Generator], None]

#: Fields of the header whose every value but one is wrong.
HEADER_FIELDS = ("magic", "version", "codec", "device", "iteration", "length", "part")
_MOST_FLIPS = 8


def mutate(
    slot: HostBytes,
    envelope: Envelope,
    generator: np.random.Generator,
    previous: HostBytes | None,
) -> None:
    """Make one fault, in place. It may change nothing.

    Parameters
    ----------
    slot : ndarray of uint8, shape (1, slot_bytes), C-contiguous
        A valid message.
    envelope : Envelope
        The message format.
    generator : numpy.random.Generator
        Draws the fault.
    previous : ndarray of uint8, shape (slot_bytes,), optional
        The same device's valid message of the iteration before.
    """
    families: list[Callable[[], None]] = [
        lambda: flip_bits(slot[0], generator),
        lambda: _spoil_header(slot, envelope, generator),
        lambda: _spoil_header(slot, envelope, generator),
        lambda: _spoil_checksum(slot, envelope, generator),
        lambda: _spoil_payload(slot, envelope, generator),
        lambda: _spoil_payload(slot, envelope, generator),
        lambda: _spoil_payload(slot, envelope, generator),
        lambda: _replay(slot, envelope, previous),
        lambda: slot.fill(0 if generator.integers(2) else 255),
    ]
    families[int(generator.integers(len(families)))]()


def flip_bits(part: HostBytes, generator: np.random.Generator) -> None:
    """Flip one to eight distinct bits, in place."""
    count = min(int(generator.integers(1, _MOST_FLIPS + 1)), 8 * part.size)
    for bit in generator.choice(8 * part.size, count, replace=False):
        part[bit // 8] ^= np.uint8(1 << (bit % 8))


def _spoil_header(slot: HostBytes, envelope: Envelope, generator: np.random.Generator) -> None:
    """Give one field another value: a neighbouring one, or any."""
    name = HEADER_FIELDS[int(generator.integers(len(HEADER_FIELDS)))]
    field = slot[0, envelope.fields[name]]
    if generator.integers(2):
        value = int.from_bytes(field.tobytes(), "little") + int(generator.choice([-1, 1]))
        modulus = 1 << (8 * field.size)
        wrong = (value % modulus).to_bytes(field.size, "little")
        field[:] = np.frombuffer(wrong, dtype=np.uint8)
    else:
        flip_bits(field, generator)
    if generator.integers(2):
        envelope.seal(slot)


def _spoil_checksum(slot: HostBytes, envelope: Envelope, generator: np.random.Generator) -> None:
    flip_bits(slot[0, envelope.fields["checksum"]], generator)


def _spoil_payload(slot: HostBytes, envelope: Envelope, generator: np.random.Generator) -> None:
    payload = slot[0, envelope.fields["payload"]]
    faults: list[Fault] = [
        lambda part, draw: _put_scalar(part, draw, envelope.dtype),
        lambda part, draw: _put_scalar(part, draw, envelope.dtype),
        _fill_tail,
        _repeat_piece,
        _dirty_end,
        _shift,
        flip_bits,
    ]
    faults[int(generator.integers(len(faults)))](payload, generator)
    envelope.seal(slot)


def _put_scalar(
    payload: HostBytes, generator: np.random.Generator, dtype: np.dtype[np.floating]
) -> None:
    """Write what no honest device sends over one number, the first one half of the time."""
    limits = np.finfo(dtype)
    numbers = payload.size // dtype.itemsize
    if numbers == 0:
        flip_bits(payload, generator)
        return
    place = int(generator.integers(numbers)) * int(generator.integers(2))
    choices = [
        *(np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0),
        *(limits.max, limits.min, limits.smallest_subnormal, -limits.smallest_subnormal),
    ]
    value = np.array(choices[int(generator.integers(len(choices)))], dtype.newbyteorder("<"))
    start = place * dtype.itemsize
    payload[start : start + dtype.itemsize] = np.frombuffer(value.tobytes(), dtype=np.uint8)


def _fill_tail(payload: HostBytes, generator: np.random.Generator) -> None:
    """Fill the end with zeros or ones: repeated indices, and indices and levels out of range."""
    start = int(generator.integers(payload.size))
    payload[start:] = 0 if generator.integers(2) else 255


def _repeat_piece(payload: HostBytes, generator: np.random.Generator) -> None:
    """Copy a piece over another one: repeated and unordered indices."""
    size = int(generator.integers(1, 1 + max(1, payload.size // 2)))
    source, target = (int(place) for place in generator.integers(0, payload.size - size + 1, 2))
    payload[target : target + size] = payload[source : source + size].copy()


def _dirty_end(payload: HostBytes, generator: np.random.Generator) -> None:
    """Set the last bit, which is padding wherever there is any."""
    del generator
    payload[-1] |= np.uint8(0x80)


def _shift(payload: HostBytes, generator: np.random.Generator) -> None:
    """Move everything by some bytes: fields that begin where others end."""
    payload[:] = np.roll(payload, int(generator.integers(1, 1 + payload.size)))


def _replay(slot: HostBytes, envelope: Envelope, previous: HostBytes | None) -> None:
    """Send the message of the iteration before again.

    In the first iteration of a launch there is none. Then send the present message with the
    number of the iteration before: the server refuses both for their iteration.
    """
    if previous is not None:
        slot[0] = previous
        return
    field = slot[0, envelope.fields["iteration"]]
    number = (int.from_bytes(field.tobytes(), "little") - 1) % (1 << (8 * field.size))
    field[:] = np.frombuffer(number.to_bytes(field.size, "little"), dtype=np.uint8)
    envelope.seal(slot)
