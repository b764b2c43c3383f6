# A warning comes to this shell, which asks what it has started to end, and waits for that.
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
