@environment@

# The environment: what `make install` made, or by VENV=... another one, for instance
# conda's $HOME/miniforge3/envs/lad_mpi.
VENV=${VENV:-@venv@}

set -euo pipefail

if [ -n "$VENV" ]; then
  PATH=$(realpath -- "$VENV")/bin:$PATH
  export PATH
fi

# A binding inherited from the shell that submitted would hold for the ranks as well.
unset "${!SLURM_CPU_BIND@}"
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

@follow@

@launch@
