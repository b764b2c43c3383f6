# 75: there is a checkpoint, and the job goes on from it when it is its turn again.
# A job that is too short to get anywhere would come back for ever.
if [ "$code" = 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-100}" ]; then
  # One task of an array is meant, and not all of them.
  scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
