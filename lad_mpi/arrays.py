"""The array library: NumPy on the host, CuPy on a GPU.

This is the only module that imports CuPy, and it does so only when a spec
asks for it.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lad_mpi.errors import BackendError, is_gpu_error
from lad_mpi.launchers import local_rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lad_mpi.types import Array

#: Bytes of a cache line, and of the widest register.
ALIGNMENT = 64

BackendKind = Literal["numpy", "cupy"]
DtypeName = Literal["float64", "float32"]


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return zeros in host memory that begin at a multiple of :data:`ALIGNMENT` bytes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def namespace(array: Array) -> Any:
    """Return the module, ``numpy`` or ``cupy``, that an array belongs to."""
    if isinstance(array, np.ndarray):
        return np
    cupy = _import_cupy()
    if isinstance(array, cupy.ndarray):
        return cupy
    raise TypeError(f"expected a NumPy or CuPy array, not {type(array).__name__}")


def to_host(array: Array) -> Any:
    """Return the array in host memory; a NumPy array is returned as it is."""
    return array if isinstance(array, np.ndarray) else array.get()


def copy_array(source: Array, out: Array) -> None:
    """Copy an array into another one of the same shape and dtype, between any two memories.

    A copy between a GPU and the host is complete when this returns. ``cupy.asarray``
    does not wait for pinned host memory.
    """
    if isinstance(source, np.ndarray):
        if isinstance(out, np.ndarray):
            out[...] = source
        else:
            out.set(source)
    elif isinstance(out, np.ndarray):
        source.get(out=out)
    else:
        out[...] = source


@dataclass(frozen=True)
class Backend:
    """An array library, a dtype and the device that is used.

    Parameters
    ----------
    kind : {"numpy", "cupy"}
        The library.
    dtype : numpy.dtype
        Type of the model, the gradients and the messages: float32 or float64.
    xp : module
        ``numpy`` or ``cupy``.
    device_name : str
        Model name of the GPU, or ``"cpu"``.
    """

    kind: BackendKind
    dtype: np.dtype[Any]
    xp: Any
    device_name: str

    @property
    def on_host(self) -> bool:
        """Whether arrays of this backend are in host memory."""
        return self.kind == "numpy"

    def asarray(self, host: Any, *, dtype: Any = None) -> Array:
        """Move a host array to the backend's memory, by default in its dtype."""
        return self.xp.asarray(host, dtype=self.dtype if dtype is None else dtype)

    def host_buffer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Allocate a host array that MPI and the device can both reach fast (pinned for a GPU)."""
        if self.on_host:
            return aligned_zeros(shape, dtype)
        pinned = importlib.import_module("cupyx").empty_pinned(shape, dtype=dtype)
        pinned[...] = 0
        return pinned

    def synchronize(self) -> None:
        """Wait until the GPU has finished its work; do nothing on the host."""
        if not self.on_host:
            self.xp.cuda.get_current_stream().synchronize()


def open_backend(
    kind: BackendKind, dtype: DtypeName, *, environ: Mapping[str, str] | None = None
) -> Backend:
    """Open an array library and, for CuPy, the GPU of this rank.

    The GPU is chosen by the rank within the node, round robin over the visible devices.
    The launcher's variables give that rank. MPI is already initialised.

    Raises
    ------
    BackendError
        CuPy is not installed, or no device can be used.
    """
    if kind == "numpy":
        return Backend("numpy", np.dtype(dtype), np, "cpu")
    cupy = _import_cupy()
    runtime = cupy.cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
        if count == 0:
            raise _no_device("the driver reports none")
        device = local_rank(environ) % count
        cupy.cuda.Device(device).use()
        name = runtime.getDeviceProperties(device)["name"].decode()
    except runtime.CUDARuntimeError as error:
        raise _no_device(str(error)) from error
    return Backend("cupy", np.dtype(dtype), cupy, name)


def _import_cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise BackendError(
            f'backend.kind = "cupy" needs CuPy, which cannot be imported ({error})',
            hint="pip install 'lad_mpi[cuda12]' or 'lad_mpi[cuda13]', to match the driver; "
            'or set backend.kind = "numpy"',
        ) from error


def _no_device(reason: str) -> BackendError:
    return BackendError(
        f'backend.kind = "cupy" needs a CUDA device, and none can be used: {reason}',
        hint="see that nvidia-smi lists a GPU in this job, that CUDA_VISIBLE_DEVICES does not "
        "hide it, and that no other process has it for itself (nvidia-smi -q -d COMPUTE); "
        'or set backend.kind = "numpy"',
    )


def visible_gpus() -> list[str]:
    """Return model name, PCI bus number and id of every GPU that this process can use.

    The list is empty if CuPy is not installed or the driver shows no GPU. The bus number
    identifies a GPU on a host, independently of ``CUDA_VISIBLE_DEVICES``. The beginning of
    the id identifies a part of a card that is divided (MIG).
    """
    try:
        runtime = _import_cupy().cuda.runtime
        count = int(runtime.getDeviceCount())
        return [_gpu_name(runtime, device) for device in range(count)]
    except BackendError:
        return []
    except Exception as error:
        if not is_gpu_error(error):
            raise
        return []


def _gpu_name(runtime: Any, device: int) -> str:
    properties = runtime.getDeviceProperties(device)
    identity = bytes(properties.get("uuid", b""))[:4].hex()
    name = f"{properties['name'].decode()} {runtime.deviceGetPCIBusId(device)}"
    return f"{name} {identity}" if identity else name
