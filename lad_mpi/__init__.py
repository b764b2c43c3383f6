"""Byzantine-robust, coded and compressed distributed training under MPI.

The package is a benchmark suite: :mod:`lad_mpi.training` runs one
configuration on any number of ranks, :mod:`lad_mpi.study` many of them, and
everything that is said afterwards is computed from the HDF5 logs that
:mod:`lad_mpi.logs` defines.
"""

from lad_mpi._version import __version__

__all__ = ["__version__"]
