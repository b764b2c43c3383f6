"""CUDA source to a library of the host: what NVRTC is to CuPy."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
#: Names a folder of libraries, for processes to share; without it each has its own.
CACHE = "KERNELS_ON_HOST_CACHE"

# What NVRTC defines, for a card of compute capability 8.0.
_DEFINED = ("-D__CUDACC__", "-D__CUDACC_RTC__", "-D__CUDA_ARCH__=800")
_COMMON = ("-fPIC", "-shared", "-fvisibility=hidden", "-w")
# NVRTC knows them, and nothing here depends on them.
_WITHOUT_EFFECT = re.compile(
    r"--?(ftz|prec-div|prec-sqrt|gpu-architecture|arch|maxrregcount|ptxas-options)=.*"
    r"|--?(restrict|lineinfo|generate-line-info|extra-device-vectorization)"
    r"|--?(device-as-default-execution-space|default-device)"
)
# extern "C" __global__ void name(, with the bounds of a launch before the name or before void.
_BOUNDS = r"(?:__launch_bounds__\s*(\((?:[^()]|\([^()]*\))*\))\s*)?"
_KERNEL = re.compile(rf"cuda_on_host_global\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(")
_SHARED = re.compile(
    r"extern\s+__shared__\s+((?:__align__\s*\([^()]*\)\s*)?)([\w:\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
_LAUNCHERS = """
extern "C" __attribute__((visibility("default")))
int cuda_on_host_describe_{name}(cuda_on_host::Parameter* into)
{{
    return cuda_on_host::describe({name}, into);
}}
extern "C" __attribute__((visibility("default")))
const char* cuda_on_host_launch_{name}(const unsigned* shape, unsigned shared_bytes,
                                       int backwards, void** arguments)
{{
    return cuda_on_host::launch({name}, shape, shared_bytes, backwards, arguments);
}}
extern "C" __attribute__((visibility("default"))) const int cuda_on_host_bounds_{name} = {bounds};
"""


class CompileError(Exception):
    """The source is not right; the message is the compiler's."""


def compile_source(code: str, options: tuple[str, ...], level: int) -> Path:
    """Return the library of all kernels in a source, which is compiled once.

    Parameters
    ----------
    code : str
        CUDA C++.
    options : tuple of str
        NVRTC's; one that is not known here is an error. As with NVRTC,
        products and sums contract unless ``--fmad=false`` is among them.
    level : int
        Of optimisation; at 0 nothing contracts.
    """
    given = _translate(options)
    shims = [(HERE / name).read_text() for name in ("shim.hpp", "runtime.hpp")]
    text = "\0".join([str(COMPILER), str(level), *given, *shims, code])
    target = _folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    if not target.exists():
        # Macros may have made the kernels, so they are looked for behind the preprocessor.
        expanded = _run(["-E", "-P", *given, *_DEFINED, "-D__global__=cuda_on_host_global"], code)
        kernels = list(_KERNEL.finditer(expanded))
        program = [f'#include "{HERE / "shim.hpp"}"', _SHARED.sub(_dynamic, expanded)]
        for kernel in kernels:
            _require_c(expanded, kernel)
            bounds = (kernel[1] or kernel[2] or "(1024)")[1:-1].split(",")[0]
            program.append(_LAUNCHERS.format(name=kernel[3], bounds=bounds))
        _build("\n".join(program), [*given, "-Dcuda_on_host_global=", f"-O{level}"], target)
    return target


@cache
def runtime() -> Path:
    """Return the library that the libraries of kernels call."""
    program, header = ((HERE / name).read_text() for name in ("runtime.cpp", "runtime.hpp"))
    text = f"{COMPILER}\0{program}\0{header}"
    target = _folder() / f"runtime-{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    if not target.exists():
        _build(program, ["-O2", f"-I{HERE}"], target)
    return target


def _build(program: str, options: list[str], target: Path) -> None:
    # Other processes see the whole library or none.
    unfinished = target.with_suffix(f".{os.getpid()}")
    _run([*_COMMON, *options, "-o", str(unfinished), "-lm"], program)
    unfinished.replace(target)


def _run(options: list[str], program: str) -> str:
    if COMPILER is None:
        raise CompileError("there is no C++ compiler")
    # A lone dash stands for the standard input; libraries come after what needs them.
    libraries = [option for option in options if option.startswith("-l")]
    others = [option for option in options if not option.startswith("-l")]
    command = [COMPILER, *others, "-x", "c++", "-", *libraries]
    done = subprocess.run(command, input=program, text=True, capture_output=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stdout


def _translate(options: tuple[str, ...]) -> list[str]:
    standard, contract, others = "-std=c++17", True, []
    for option in options:
        if re.fullmatch(r"--?std=c\+\+\d\d", option):
            standard = "-" + option.lstrip("-")
        elif re.fullmatch(r"--?fmad=(true|false)", option):
            contract = option.endswith("true")
        elif re.match(r"-[DUI].|--(define-macro|undefine-macro|include-path)=.", option):
            others.append(re.sub(r"^--(.)[a-z-]+=", lambda match: f"-{match[1].upper()}", option))
        elif not _WITHOUT_EFFECT.fullmatch(option):
            raise CompileError(f"nothing is known here of the option {option!r}")
    if not (contract and can_contract()):
        return [standard, *others, "-ffp-contract=off"]
    # GCC contracts only with the optimisations that it calls expensive.
    others += ["-ffp-contract=fast", "-fexpensive-optimizations"]
    return [standard, *others, *(["-mfma"] if _on_x86() else [])]


def _on_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


@cache
def can_contract() -> bool:
    """Whether this processor has an instruction for a product and a sum."""
    if not _on_x86():
        return True
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\bfma\b", processor, re.MULTILINE) is not None


def _dynamic(declaration: re.Match[str]) -> str:
    _, kind, name = declaration.groups()
    return f"{kind}* {name} = ({kind}*)cuda_on_host_shared;"


def _require_c(source: str, kernel: re.Match[str]) -> None:
    before = source[: kernel.start()]
    if not re.search(r'extern\s+"C"\s*$', before) and not re.search(r'extern\s+"C"\s*{', before):
        raise CompileError(f'{kernel[3]} cannot be found by its name: it is not extern "C"')


@cache
def _folder() -> Path:
    if CACHE in os.environ:
        return Path(os.environ[CACHE])
    folder = tempfile.mkdtemp(prefix="cuda-on-host-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
