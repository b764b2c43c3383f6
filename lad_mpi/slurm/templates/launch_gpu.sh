@srun@

# The server on a core of the first node, then one rank per GPU. Each rank takes the GPU with
# its own number on the node.
launch() {
  local node nodes
  mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  SLURM_HOSTFILE=$(mktemp)
  export SLURM_HOSTFILE
  trap 'rm -f "$SLURM_HOSTFILE"' EXIT
  {
    echo "${nodes[0]}"
    for node in "${nodes[@]}"; do
      for _ in $(seq @gpus_per_node@); do echo "$node"; done
    done
  } >"$SLURM_HOSTFILE"
  # These describe the allocation and would override the host file.
  unset SLURM_NTASKS_PER_NODE SLURM_TASKS_PER_NODE
  srun --mpi="$MPI" --cpu-bind=cores --kill-on-bad-exit=1@launcher_options@ \
    --distribution=arbitrary --ntasks=$((${#nodes[@]} * @gpus_per_node@ + 1)) "$@"
}
