# The warning comes to this shell, which asks mpiexec to end, and mpiexec all ranks.
launch() {
  local code=0 warned= launched
  mpiexec@launcher_options@ "$@" &
  launched=$!
  trap 'warned=1; kill -TERM "$launched"' USR2
  wait "$launched" || code=$?
  if [ -n "$warned" ]; then
    code=0
    wait "$launched" || code=$?
  fi
  return "$code"
}
