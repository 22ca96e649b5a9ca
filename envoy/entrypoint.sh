#!/bin/sh
# Fills in the bootstrap from the environment and becomes Envoy. Runs in any POSIX shell, busybox's too.
#
#   XDS_HOST         name or address of the control plane (required)
#   XDS_PORT         its port (18000)
#   FLEET            which services' routes this Envoy gets: label service_cluster (default)
#   NODE_ID          name of this Envoy in logs and in the control plane (the container's host name)
#   ADMIN_PORT       port of the admin interface on 127.0.0.1 (9901)
#   HEAP_BYTES       heap at which requests are refused; stay below the container's memory limit (1 GiB)
#   MAX_CONNECTIONS  connections from clients at one time (50000)
#   DRAIN_SECONDS    how long a replaced listener lets its connections finish (30)
#   LOG_LEVEL        trace, debug, info, warning, error, critical or off (info)
#   BOOTSTRAP        template (/etc/envoy/bootstrap.yaml)
# Arguments are passed on to Envoy.
set -eu

fail() {
  echo "entrypoint: $1" >&2
  exit 64
}

# One that holds only such characters needs no quoting, in YAML or in sed.
name() {
  eval "value=\$$1"
  case $value in
    '') fail "$1 is not set: $2" ;;
    *[!A-Za-z0-9._:-]*) fail "$1=\"$value\": only letters, digits and . _ : - may stand in $2" ;;
  esac
}

number() {
  eval "value=\$$1"
  case $value in
    '' | *[!0-9]* | 0* | ?????????????????*) fail "$1=\"$value\": not a whole number above 0" ;;
  esac
  if [ "$value" -gt "$2" ]; then fail "$1=$value: the highest possible is $2"; fi
}

: "${XDS_HOST:=}" "${XDS_PORT:=18000}" "${FLEET:=default}" "${NODE_ID:=$(hostname)}" "${ADMIN_PORT:=9901}"
: "${HEAP_BYTES:=1073741824}" "${MAX_CONNECTIONS:=50000}" "${DRAIN_SECONDS:=30}" "${LOG_LEVEL:=info}"
: "${BOOTSTRAP:=/etc/envoy/bootstrap.yaml}"

name XDS_HOST "the control plane's name or address"
number XDS_PORT 65535
name FLEET "the fleet's name"
name NODE_ID "this Envoy's name"
number ADMIN_PORT 65535
number HEAP_BYTES 9007199254740991
number MAX_CONNECTIONS 2147483647
number DRAIN_SECONDS 86400
case $LOG_LEVEL in
  trace | debug | info | warning | error | critical | off) ;;
  *) fail "LOG_LEVEL=\"$LOG_LEVEL\": not one of trace, debug, info, warning, error, critical, off" ;;
esac
[ -r "$BOOTSTRAP" ] || fail "BOOTSTRAP=\"$BOOTSTRAP\": no such file"

config=${TMPDIR:-/tmp}/envoy-bootstrap.yaml
set -- --config-path "$config" --drain-time-s "$DRAIN_SECONDS" --log-level "$LOG_LEVEL" "$@"
# In a container Envoy is replaced, never restarted in place; so no shared memory is needed either.
set -- --disable-hot-restart "$@"
for key in XDS_HOST XDS_PORT FLEET NODE_ID ADMIN_PORT HEAP_BYTES MAX_CONNECTIONS; do
  eval "value=\$$key"
  script="${script:-}s|\${$key}|$value|g;"
done
sed "$script" "$BOOTSTRAP" >"$config"
exec envoy "$@"
