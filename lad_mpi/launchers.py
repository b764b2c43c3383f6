"""Launchers and schedulers: every environment variable of theirs, and how to talk to them.

:data:`LAUNCHERS` is the one table. No other module names these variables, except in
texts for a person and in batch scripts.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Launcher:
    """The variables of one launcher or scheduler; empty means that it sets none.

    Parameters
    ----------
    name : str
        Of the program.
    size, rank : str
        Number of ranks, and number of this rank.
    local_size, local_rank : str
        The same within the node.
    job : str
        Id of the job.
    own : tuple of str
        Prefixes of variables that describe the ranks or the hosts of one launch. A
        process that starts ranks of its own must not inherit them.
    settings : tuple of str
        Prefixes of variables that a user sets. The longest prefix of ``own`` and
        ``settings`` decides.
    recorded : dict of str to str
        Variables that a log records, as prefix and endings. They name nobody and no host.
    naming : dict of str to str
        Variables that a log records unless host details are off: they name a job, a
        queue, or hosts.
    """

    name: str
    size: str = ""
    rank: str = ""
    local_size: str = ""
    local_rank: str = ""
    job: str = ""
    own: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    recorded: Mapping[str, str] = field(default_factory=dict)
    naming: Mapping[str, str] = field(default_factory=dict)


#: The first that has set a variable counts. Schedulers come last: their variables reach the
#: ranks of an mpirun inside a job as well, and the innermost launcher is right.
LAUNCHERS = (
    Launcher(
        "Open MPI",
        size="OMPI_COMM_WORLD_SIZE",
        rank="OMPI_COMM_WORLD_RANK",
        local_size="OMPI_COMM_WORLD_LOCAL_SIZE",
        local_rank="OMPI_COMM_WORLD_LOCAL_RANK",
        own=(
            *("OMPI_", "OMPI_MCA_ess", "OMPI_MCA_hnp", "OMPI_MCA_initial_wdir"),
            *("OMPI_MCA_num_procs", "OMPI_MCA_orte_", "OMPI_MCA_plm", "OMPI_MCA_pmix"),
            *("PRTE_", "PRTE_MCA_ess", "PRTE_MCA_plm", "PRTE_MCA_pmix", "PRTE_MCA_prte_"),
        ),
        settings=("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_MCA_", "PRTE_MCA_"),
        recorded={
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
        },
    ),
    Launcher(
        "MPICH",
        size="PMI_SIZE",
        rank="PMI_RANK",
        local_size="MPI_LOCALNRANKS",
        local_rank="MPI_LOCALRANKID",
        own=("PMI_", "MPI_LOCAL", "HYD"),
        recorded={
            "HYDRA_": "BINDING LAUNCHER MAPPING MEMBIND TOPOLIB",
            "MPICH_": "ASYNC_PROGRESS COLL_OPT_OFF COLL_SYNC GPU_IPC_ENABLED GPU_SUPPORT_ENABLED "
            "MAX_THREAD_SAFETY OFI_NIC_MAPPING OFI_NIC_POLICY OFI_NUM_NICS RANK_REORDER_METHOD "
            "SHARED_MEM_COLL_OPT SMP_SINGLE_COPY_MODE SMP_SINGLE_COPY_SIZE",
            "MPIR_CVAR_": "ASYNC_PROGRESS BCAST_INTRA_ALGORITHM CH3_NOLOCAL CH4_NETMOD "
            "CH4_NUM_VCIS ENABLE_GPU GATHER_INTRA_ALGORITHM NOLOCAL NUM_CLIQUES ODD_EVEN_CLIQUES",
        },
    ),
    Launcher(
        "Intel MPI",
        recorded={
            "I_MPI_": "ADJUST_BCAST ADJUST_GATHER FABRICS OFI_PROVIDER PIN PIN_CELL PIN_DOMAIN "
            "PIN_MODE PIN_ORDER PIN_PROCESSOR_LIST PIN_RESPECT_CPUSET",
        },
    ),
    Launcher("PMIx", size="PMIX_SIZE", rank="PMIX_RANK", own=("PMIX_",), settings=("PMIX_MCA_",)),
    Launcher(
        "MVAPICH",
        local_size="MV2_COMM_WORLD_LOCAL_SIZE",
        local_rank="MV2_COMM_WORLD_LOCAL_RANK",
        own=("MV2_COMM",),
        recorded={
            "MV2_": "CPU_BINDING_LEVEL CPU_BINDING_POLICY CPU_MAPPING ENABLE_AFFINITY "
            "HYBRID_BINDING_POLICY THREADS_PER_PROCESS USE_CUDA",
        },
    ),
    Launcher("PALS", rank="PALS_RANKID", local_rank="PALS_LOCAL_RANKID", own=("PALS_",)),
    Launcher("Flux", job="FLUX_JOB_ID", own=("FLUX_",)),
    Launcher(
        "SLURM",
        size="SLURM_STEP_NUM_TASKS",
        rank="SLURM_PROCID",
        local_rank="SLURM_LOCALID",
        job="SLURM_JOB_ID",
        own=("SLURM_",),
        recorded={
            "SLURM_": "ARRAY_TASK_ID CPUS_ON_NODE CPUS_PER_GPU CPUS_PER_TASK CPU_BIND "
            "CPU_BIND_LIST CPU_BIND_TYPE CPU_BIND_VERBOSE CPU_FREQ_REQ DISTRIBUTION GPUS "
            "GPUS_ON_NODE GPUS_PER_NODE GPUS_PER_TASK GPU_BIND HINT JOB_CPUS_PER_NODE JOB_GPUS "
            "JOB_NUM_NODES MEM_BIND MEM_BIND_TYPE MEM_PER_CPU MEM_PER_NODE MPI_TYPE NNODES "
            "NPROCS NTASKS NTASKS_PER_CORE NTASKS_PER_GPU NTASKS_PER_NODE NTASKS_PER_SOCKET "
            "OVERCOMMIT STEP_GPUS STEP_NUM_NODES STEP_NUM_TASKS STEP_TASKS_PER_NODE "
            "TASKS_PER_NODE THREADS_PER_CORE TOPOLOGY_ADDR_PATTERN",
            "SRUN_": "CPUS_PER_TASK",
        },
        naming={
            "SLURM_": "ARRAY_JOB_ID CLUSTER_NAME JOB_CONSTRAINTS JOB_ID JOB_NODELIST "
            "JOB_PARTITION JOB_QOS JOB_RESERVATION NODELIST STEP_ID STEP_NODELIST TOPOLOGY_ADDR",
        },
    ),
    Launcher(
        "PBS",
        job="PBS_JOBID",
        own=("PBS_",),
        recorded={"PBS_": "NCPUS NP NUM_NODES NUM_PPN"},
        naming={"PBS_": "JOBID QUEUE"},
    ),
    Launcher(
        "LSF",
        job="LSB_JOBID",
        own=("LSB_", "LSF_"),
        recorded={"LSB_": "BIND_CPU_LIST DJOB_NUMPROC MAX_NUM_PROCESSORS"},
        naming={"LSB_": "HOSTS JOBID JOBINDEX MCPU_HOSTS QUEUE"},
    ),
    Launcher("Grid Engine", own=("SGE_", "PE_HOSTFILE")),
    Launcher("Cobalt", job="COBALT_JOBID", own=("COBALT_",)),
)
_SIZES = tuple(known.size for known in LAUNCHERS if known.size)
_RANKS = tuple(known.rank for known in LAUNCHERS if known.rank)
_LOCAL_RANKS = tuple(known.local_rank for known in LAUNCHERS if known.local_rank)
_LOCAL_SIZES = tuple(known.local_size for known in LAUNCHERS if known.local_size)
#: Variables of one step, which a launcher of ranks inside a job must not inherit.
_STEP = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "SLURM_CPU_BIND")
#: SLURM's ranks on each node of a step, ``2(x3),1``.
_SLURM_LAYOUT = re.compile(r"(\d+)(?:\(x(\d+)\))?")
#: SLURM numbers its own steps from here: the batch script, an interactive shell.
_SLURM_OWN_STEPS = 2**31
#: How long a launcher gets to read a message before an abort.
_READ_BEFORE_ABORT_S = 0.5


def module_words(module: str, python: str = sys.executable) -> list[str]:
    """Return a command that runs a module and imports nothing from the working directory.

    ``python -m`` alone would import a file ``json.py`` there instead of Python's own.

    Parameters
    ----------
    module : str
        Dotted name.
    python : str
        Interpreter of the same version as this one.
    """
    if sys.version_info >= (3, 11):
        return [python, "-P", "-m", module]
    run = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [python, "-c", f"import sys; del sys.path[0]; {run}"]


def announced_size(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of ranks that the launcher announces; 1 without a launcher."""
    return _first(_SIZES, environ, default=1)


def announced_rank(environ: Mapping[str, str] | None = None) -> int:
    """Return the rank of this process that the launcher announces; 0 without a launcher."""
    return _first(_RANKS, environ, default=0)


def local_rank(environ: Mapping[str, str] | None = None) -> int:
    """Return the rank within the node that the launcher announces; 0 if it announces none."""
    return _first(_LOCAL_RANKS, environ, default=0)


def local_size(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of ranks on this node; 0 if the launcher does not announce it.

    Without a launcher there is one rank.
    """
    environ = os.environ if environ is None else environ
    if announced_size(environ) == 1:
        return 1
    node = environ.get("SLURM_NODEID", "")
    layout = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    tasks = [int(n) for n, times in _SLURM_LAYOUT.findall(layout) for _ in range(int(times or 1))]
    on_node = tasks[int(node)] if node.isdigit() and int(node) < len(tasks) else 0
    return _first(_LOCAL_SIZES, environ, default=on_node)


def job_id(environ: Mapping[str, str] | None = None) -> str:
    """Return the id of the scheduler's job; empty outside of jobs."""
    environ = os.environ if environ is None else environ
    ids = (environ.get(known.job, "") for known in LAUNCHERS if known.job)
    return next(filter(None, ids), "")


def in_slurm_job(environ: Mapping[str, str]) -> bool:
    """Return whether SLURM has allocated the resources of this process."""
    return bool(environ.get("SLURM_JOB_ID"))


def without_step(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a new launcher in the same job: nothing announces ranks."""
    announced = {*_SIZES, *_RANKS, *_LOCAL_RANKS, *_LOCAL_SIZES}
    return {
        name: value
        for name, value in environ.items()
        if name not in announced and not name.startswith(_STEP)
    }


def without_job(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a new launcher on this host: nothing shows ranks or a job.

    Settings of MPI libraries stay, except those of MPICH's launcher (``HYDRA_…``).
    """
    is_own = {
        **{prefix: True for known in LAUNCHERS for prefix in known.own},
        **{prefix: False for known in LAUNCHERS for prefix in known.settings},
    }

    def keeps(name: str) -> bool:
        longest = max(filter(name.startswith, is_own), key=len, default="")
        return not is_own.get(longest, False)

    return {name: value for name, value in environ.items() if keeps(name)}


def inherited_binding(environ: Mapping[str, str]) -> list[str]:
    """Return the variables by which the next ``srun`` would bind its ranks as an outer step."""
    # In a step of its own they record what srun has done.
    if _in_slurm_step(environ):
        return []
    return [name for name in environ if name.startswith("SLURM_CPU_BIND")]


def ignored_cpus_per_task(environ: Mapping[str, str], given: int) -> int:
    """Return the processors a task of a job that ``srun`` (since 22.05) does not pass on.

    Parameters
    ----------
    environ : mapping of str to str
        Of this process.
    given : int
        Processors that this process may use.

    Returns
    -------
    int
        What ``--cpus-per-task`` of the job asked for; 0 if ``srun`` gives that many.
    """
    wanted = environ.get("SLURM_CPUS_PER_TASK", "")
    if not wanted.isdigit() or int(wanted) <= 1 or "SRUN_CPUS_PER_TASK" in environ:
        return 0
    return 0 if _in_slurm_step(environ) and given >= int(wanted) else int(wanted)


def say_before_abort(text: str) -> None:
    """Write a message to standard error, and give the launcher time to read it.

    Parameters
    ----------
    text : str
        Ends with a newline.

    Notes
    -----
    A launcher that hears of an abort may leave without reading what ranks wrote just
    before: MPICH's lost the message in 4 of 240 aborts on a busy machine.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
    if announced_size() > 1:
        time.sleep(_READ_BEFORE_ABORT_S)


def _in_slurm_step(environ: Mapping[str, str]) -> bool:
    step = environ.get("SLURM_STEP_ID", "")
    return step.isdigit() and int(step) < _SLURM_OWN_STEPS


def _first(variables: tuple[str, ...], environ: Mapping[str, str] | None, *, default: int) -> int:
    environ = os.environ if environ is None else environ
    values = (environ.get(variable, "") for variable in variables)
    return next((int(value) for value in values if value.isdigit()), default)
