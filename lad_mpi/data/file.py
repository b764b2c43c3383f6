"""Data in files of the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from annotated_types import Ge

from lad_mpi.data import cache
from lad_mpi.data.columns import TableKeys
from lad_mpi.data.readers import read_samples, state_of
from lad_mpi.errors import ParameterError
from lad_mpi.parameters import Example, check_parameters

if TYPE_CHECKING:
    from lad_mpi.data.base import Samples

#: The number of a column.
_Column: TypeAlias = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class File:
    """Samples of a file, and of a second file for testing.

    Parameters
    ----------
    path : str
        A NumPy archive, HDF5, IDX, a table or LIBSVM text, each compressed by gzip or not; see
        docs/data.md.
    test_path : str, optional
        A file with samples for testing, in any of these formats.
    target : str or int, optional
        The column of a table to predict, by name or by number, counted from 1. If left
        out, the column named ``y``, or else the last.
    header : bool, optional
        Whether the first line of a table names the columns. If left out, the line itself
        decides.
    index : bool, str or int, optional
        The column of a table that only names or numbers the samples and is not a feature:
        the first (``true``), none (``false``), or one by name or number. If left out, the
        file decides.

    Raises
    ------
    ParameterError
        A parameter is out of range.
    """

    path: Annotated[str, Example("train.csv")]
    test_path: Annotated[str | None, Example("test.csv")] = None
    target: Annotated[str | _Column | None, Example("y")] = None
    header: Annotated[bool | None, Example(True)] = None
    index: Annotated[bool | str | _Column | None, Example(False)] = None

    kind: ClassVar[str] = "file"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_parameters(self)
        for name in ("path", "test_path"):
            if getattr(self, name) == "":
                raise ParameterError(name, "must be the path of a file, not ''")

    def read(self) -> tuple[Samples, Samples | None]:
        """Return the samples, and those of ``test_path``.

        Raises
        ------
        DataError
            As for :func:`lad_mpi.data.readers.read_samples`.
        """
        return cache.read(self._state(), self._load)

    def digest(self) -> str:
        """Identify the samples; unchanged files are read once.

        Raises
        ------
        DataError
            As for :meth:`read`.
        """
        return cache.digest(self._state(), self._load)

    def _state(self) -> cache.State:
        # As text, because True and 1 are equal and mean different things.
        keys = repr(self._keys)
        return (keys, *(state_of(path) for path in (self.path, self.test_path) if path))

    def _load(self) -> cache.Pair:
        read = partial(read_samples, keys=self._keys)
        return read(self.path), read(self.test_path) if self.test_path else None

    @property
    def _keys(self) -> TableKeys:
        return TableKeys(self.target, self.header, self.index)
