@environment@

# The virtual environment: that of `make install`, or another one given as VENV=..., such as
# conda's $HOME/miniforge3/envs/lad_mpi.
VENV=${VENV:-@venv@}

set -euo pipefail

if [ -n "$VENV" ]; then
  PATH=$(realpath -- "$VENV")/bin:$PATH
  export PATH
fi

# Ranks would inherit the binding of the shell that submitted the job.
unset "${!SLURM_CPU_BIND@}"
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

@follow@

@launch@
