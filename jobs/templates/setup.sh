@environment@

# The environment: what `make install` made, or by VENV=... another one, for instance
# conda's $HOME/miniforge3/envs/lad_mpi.
VENV=${VENV:-@venv@}
# How srun greets the MPI library; `srun --mpi=list` names what the site has.
MPI=${MPI:-@mpi@}

set -euo pipefail

if [ -n "$VENV" ]; then
  PATH=$(realpath "$VENV")/bin:$PATH
  export PATH
fi

# A binding inherited from the shell that submitted would hold for the ranks as well.
unset "${!SLURM_CPU_BIND@}"
# srun does not take the processors of a task from the job since SLURM 22.05.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
# For steps that others start.
export SLURM_MPI_TYPE=$MPI

@launch@
