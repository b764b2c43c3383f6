"""NVIDIA's run-time compiler, which needs no GPU."""

from __future__ import annotations

import ctypes
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class Nvrtc:
    """The compiler, as a library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def __call__(self, program: str, *options: str) -> str:
        """Compile and return the log; fail with it otherwise."""
        handle = ctypes.c_void_p()
        self._call("CreateProgram", ctypes.byref(handle), program.encode(), None, 0, None, None)
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = self._library.nvrtcCompileProgram(handle, len(options), given)
        size = ctypes.c_size_t()
        self._call("GetProgramLogSize", handle, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self._call("GetProgramLog", handle, log)
        self._call("DestroyProgram", ctypes.byref(handle))
        assert not failed, log.value.decode()
        return log.value.decode()

    def _call(self, name: str, *arguments: Any) -> None:
        assert getattr(self._library, f"nvrtc{name}")(*arguments) == 0, name


def find_nvrtc() -> Nvrtc | None:
    """Return the compiler of the wheel nvidia-cuda-nvrtc-cu12, where that is installed."""
    found = find_spec("nvidia")
    places: Sequence[str] = (found and found.submodule_search_locations) or ()
    libraries = [path for place in places for path in Path(place).glob("*/lib/libnvrtc.so.12")]
    return Nvrtc(libraries[0]) if libraries else None


def options_for(card: str, options: tuple[str, ...]) -> tuple[str, ...]:
    """Return what CuPy gives the compiler, and a request for the report of the assembler."""
    added = ("-ftz=true", "--device-as-default-execution-space", f"-arch={card}")
    return (*options, *added, "--ptxas-options=-v")


def assert_registers(log: str) -> None:
    """The assembler reports registers, and no memory of a thread's own."""
    assert re.search(r"Used \d+ registers", log), log
    counts = re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log
    )
    assert counts, log
    assert set(counts) == {("0", "0", "0")}, log
