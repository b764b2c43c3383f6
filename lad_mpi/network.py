"""A network as two numbers, latency and bandwidth, and what an iteration's messages cost on it."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lad_mpi.errors import ParameterError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+)(?:[eE]([+-]?[0-9]+))?\s*(\S+)")
_PREFIXES = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}
#: Exponent of ten of each unit that quantities are written in.
_SECONDS = {"s": 0, "ms": -3, "us": -6, "ns": -9}
_BYTES = {f"{prefix}B/s": exponent for prefix, exponent in _PREFIXES.items()}
#: Exponent of ten and factor that convert a number in a unit to the base unit.
_TIMES = {
    **{unit: (exponent, 1.0) for unit, exponent in _SECONDS.items()},
    # Two characters that look the same: the micro sign and the Greek letter.
    "\u00b5s": (-6, 1.0),
    "\u03bcs": (-6, 1.0),
}
_RATES = {
    **{unit: (exponent, 1.0) for unit, exponent in _BYTES.items()},
    **{f"{prefix}bit/s": (exponent, 1 / 8) for prefix, exponent in _PREFIXES.items()},
    **{f"{prefix}iB/s": (0, 1024.0**power) for power, prefix in enumerate("KMGT", start=1)},
}
_UNITS = {"latency": _TIMES, "bandwidth": _RATES}
#: The quantities of a network, each with an example.
EXAMPLES = {"latency": "50us", "bandwidth": "1GB/s"}
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Network:
    """A network on which every device and the server are machines with one link each.

    Parameters
    ----------
    latency_s : float
        α, the time from the start of a message to the arrival of its first byte, in seconds.
    bandwidth_bytes_per_s : float
        β of every link in each direction; infinite if bytes cost nothing.

    Raises
    ------
    ParameterError
        A latency below zero or a bandwidth that is not above zero.

    Notes
    -----
    The linear model of Hockney, "The communication challenge for MPP" (Parallel
    Computing 20, 1994, doi:10.1016/S0167-8191(06)80021-9): a message of b bytes
    takes α + b/β.
    """

    latency_s: float = 0.0
    bandwidth_bytes_per_s: float = math.inf

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 <= self.latency_s < math.inf:
            raise ParameterError(
                "latency", f"must be at least 0 and finite, not {self.latency_s} s"
            )
        if not self.bandwidth_bytes_per_s > 0:
            raise ParameterError(
                "bandwidth", f"must be above 0, not {self.bandwidth_bytes_per_s} B/s"
            )

    def __str__(self) -> str:
        return ",".join(f"{key}={text}" for key, text in self.to_texts().items())

    def to_texts(self) -> dict[str, str]:
        """Return the quantities from which :func:`build_network` builds an equal network.

        A quantity that costs nothing is left out.

        Examples
        --------
        >>> Network(50e-6, 1e9).to_texts()
        {'latency': '50us', 'bandwidth': '1GB/s'}
        """
        texts = {}
        if self.latency_s > 0 or math.isinf(self.bandwidth_bytes_per_s):
            texts["latency"] = _written(self.latency_s, _SECONDS)
        if not math.isinf(self.bandwidth_bytes_per_s):
            texts["bandwidth"] = _written(self.bandwidth_bytes_per_s, _BYTES)
        return texts

    def gather_s(self, size_bytes: float) -> float:
        """Return the least time until the server has all messages.

        Parameters
        ----------
        size_bytes : float
            Bytes of all messages together.

        Notes
        -----
        α + b/β with b the bytes of all messages. They are sent at the same time and share
        the link of the server.
        """
        return self.latency_s + size_bytes / self.bandwidth_bytes_per_s

    def broadcast_s(self, size_bytes: float, num_devices: int) -> float:
        """Return the time until all devices have a message of the server.

        Parameters
        ----------
        size_bytes : float
            Bytes of the message.
        num_devices : int
            N.

        Notes
        -----
        ⌈log₂(N + 1)⌉ (α + b/β): a binomial tree over the server and N devices, in which
        each sends the whole message on.
        """
        # In every round, twice as many of the N + 1 participants have the message.
        rounds = num_devices.bit_length()
        return rounds * (self.latency_s + size_bytes / self.bandwidth_bytes_per_s)


def parse_network(text: str) -> Network:
    """Read a network from one line.

    Parameters
    ----------
    text : str
        ``latency=…,bandwidth=…`` with quantities as for :func:`build_network`, in
        any order. One of the two may be left out.

    Raises
    ------
    ParameterError
        The text has another form.

    Examples
    --------
    >>> parse_network("latency=2us, bandwidth=25GB/s")
    Network(latency_s=2e-06, bandwidth_bytes_per_s=25000000000.0)
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in values:
            raise ParameterError(
                "network",
                f"expected latency=…,bandwidth=…, each once, found {shown(text)}",
                hint=_example(),
            )
        values[key] = value
    return build_network(values)


def units_of(key: str) -> list[str]:
    """Return the units in which a quantity, ``latency`` or ``bandwidth``, can be written."""
    return [unit for unit in _UNITS[key] if unit.isascii()]


def build_network(values: Mapping[str, object]) -> Network:
    """Build a network from named quantities.

    Parameters
    ----------
    values : mapping of str to str
        ``latency``, in s, ms, us or ns, and ``bandwidth``, in B/s, bit/s and their
        multiples (``kB/s``, ``MiB/s``, ``Gbit/s``), or one of them. A quantity
        that is left out costs nothing.

    Raises
    ------
    ParameterError
        An unknown key, no key at all, or a value that is not a quantity.

    Examples
    --------
    >>> build_network({"bandwidth": "1 Gbit/s"})
    Network(latency_s=0.0, bandwidth_bytes_per_s=125000000.0)
    """
    for key in values:
        if key not in _UNITS:
            nearest = difflib.get_close_matches(str(key), list(_UNITS), n=1)
            meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ParameterError(key, f"unknown quantity of a network{meant}", hint=_example())
    if not values:
        raise ParameterError("network", "expected latency or bandwidth", hint=_example())
    found = {key: _quantity(key, value) for key, value in values.items()}
    return Network(
        latency_s=found.get("latency", 0.0),
        bandwidth_bytes_per_s=found.get("bandwidth", math.inf),
    )


def _quantity(key: str, value: object) -> float:
    units = _UNITS[key]
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[3] not in units:
        near = difflib.get_close_matches(match[3], list(units), n=1) if match else []
        meant = f"; did you mean {match[1]}{near[0]}?" if match and near else ""
        raise ParameterError(
            key,
            f"expected a number with its unit, such as {EXAMPLES[key]!r}, "
            f"found {shown(value)}{meant}",
            hint=f"units: {', '.join(units_of(key))}",
        )
    exponent, factor = units[match[3]]
    # Read as one number, so that 50us is the nearest float, not a product.
    number = float(f"{match[1]}e{int(match[2] or 0) + exponent}") * factor
    if not math.isfinite(number):
        raise ParameterError(key, f"{value} is too large for a number")
    return number


def _written(number: float, units: Mapping[str, int]) -> str:
    """Write a quantity exactly, in the largest unit in which it is at least 1."""
    for unit, exponent in sorted(units.items(), key=lambda item: -item[1]):
        scaled = number / 10.0**exponent
        text = f"{scaled:.{_DIGITS}g}"
        # A number that rounds up to one more digit would be written with a second exponent.
        plain = 1 <= scaled < 10.0**_DIGITS and "e" not in text
        if plain and float(f"{text}e{exponent}") == number:
            return f"{text}{unit}"
    base = next(unit for unit, exponent in units.items() if exponent == 0)
    return f"{number!r}{base}" if number else f"0{base}"


def _example() -> str:
    return f"such as {','.join(f'{key}={text}' for key, text in EXAMPLES.items())}"
