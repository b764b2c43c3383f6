"""Where networks of PyTorch come from: a factory of the user's, called with a seed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from lad_mpi.errors import BackendError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lad_mpi.arrays import Backend


@dataclass(frozen=True, slots=True)
class Source:
    """Where networks come from, and where they are put.

    Parameters
    ----------
    name : str
        Name of the factory, as the spec has it.
    factory : callable
        Returns a new network.
    torch : module
        PyTorch.
    device, dtype
        Where the parameters are put, and their type, as PyTorch names them.
    """

    name: str
    factory: Callable[[], Any]
    torch: Any
    device: Any
    dtype: Any

    @classmethod
    def find(cls, name: str, torch: Any, backend: Backend) -> Source:
        """Import a factory; raise ParameterError if that is impossible."""
        try:
            factory = EntryPoint(name, name, group="").load()
        except Exception as error:
            raise ParameterError(
                "module",
                f"{name} cannot be imported: {told(error)}",
                hint="install its package in this environment, or add its folder to PYTHONPATH",
            ) from error
        device = torch.device("cpu")
        if not backend.on_host:
            if not torch.cuda.is_available():
                raise BackendError(
                    'backend.kind = "cupy" needs a PyTorch that can use the GPU, and '
                    f"PyTorch {torch.__version__} cannot",
                    hint="install PyTorch for the CUDA version of the driver",
                )
            device = torch.device("cuda", backend.xp.cuda.Device().id)
        source = cls(name, factory, torch, device, getattr(torch, backend.dtype.name))
        if not callable(factory):
            raise source.refused(
                f"is of type {type(factory).__name__}", "name a class or a function"
            )
        return source

    @property
    def on_host(self) -> bool:
        """Whether networks are in host memory."""
        return bool(self.device.type == "cpu")

    def make(self, seed: int) -> Any:
        """Call the factory with this seed of PyTorch, and return its network."""
        torch = self.torch
        with self.generators_kept():
            torch.manual_seed(seed)
            try:
                network = self.factory()
            except Exception as error:
                raise self.refused(
                    f"failed: {told(error)}", "it is called without arguments"
                ) from error
        if not isinstance(network, torch.nn.Module):
            raise self.refused(
                f"returned an object of type {type(network).__name__}",
                "it must return a torch.nn.Module",
            )
        for name, parameter in network.named_parameters():
            if torch.nn.parameter.is_lazy(parameter):
                raise self.refused(
                    f"has the parameter {name!r}, whose shape is not known yet",
                    "replace lazy layers by layers with sizes",
                )
            if not parameter.is_floating_point():
                raise self.refused(
                    f"has the parameter {name!r} of dtype {parameter.dtype}",
                    "all parameters must be real floating-point numbers",
                )
        if not trainable(network):
            raise self.refused(
                "has no trainable parameters", "at least one must have requires_grad = True"
            )
        return network.to(device=self.device, dtype=self.dtype)

    def generators(self) -> list[Any]:
        """Return the states of PyTorch's generators."""
        states = [self.torch.get_rng_state()]
        if not self.on_host:
            states.append(self.torch.cuda.get_rng_state(self.device))
        return states

    def flattened(self, network: Any) -> Any:
        """Return a copy of the trainable parameters of a network, as one vector."""
        return self.torch.cat([part.detach().reshape(-1) for part in trainable(network)])

    def generators_kept(self) -> AbstractContextManager[None]:
        """Restore the states of PyTorch's global generators at the end."""
        devices = [] if self.on_host else [self.device]
        kept: AbstractContextManager[None] = self.torch.random.fork_rng(devices)
        return kept

    def refused(self, what: str, hint: str) -> ParameterError:
        """Return the error about the factory or its network."""
        return ParameterError("module", f"{self.name} {what}", hint=hint)


def trainable(network: Any) -> list[Any]:
    """Return the parameters of a network that training changes, in its order."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def import_torch() -> Any:
    """Import PyTorch; raise BackendError if that is impossible."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise BackendError(
            f'model.kind = "torch" needs PyTorch, which cannot be imported ({error})',
            hint="pip install 'lad_mpi[torch]'",
        ) from error


def told(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
