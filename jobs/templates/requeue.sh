# 75: there is a checkpoint, and the job goes on from it when it is its turn again.
if [ "$code" = 75 ]; then
  # One task of an array is meant, and not all of them.
  scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
