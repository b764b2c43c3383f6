# SLURM warns this shell before the time limit. The shell passes the warning on and waits.
follow() {
  local code=0 warned="" started
  "$@" &
  started=$!
  trap 'warned=1; kill -TERM "$started"' USR2
  wait "$started" || code=$?
  if [ -n "$warned" ]; then
    code=0
    wait "$started" || code=$?
  fi
  return "$code"
}
