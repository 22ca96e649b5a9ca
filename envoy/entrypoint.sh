#!/bin/sh
# Fills in the bootstrap from the environment, runs Envoy, and ends it without losing a request. Runs in any POSIX shell,
# busybox's too.
#
#   XDS_HOST         name or address of the control plane (required)
#   XDS_PORT         its port (18000)
#   XDS_CA, XDS_CERT, XDS_KEY
#                    files for TLS with the control plane: whom to trust, this Envoy's certificate and its key. Followed as
#                    they change. All three or none: without them nothing is encrypted
#   FLEET            which services' routes this Envoy gets: label service_cluster (default)
#   NODE_ID          name of this Envoy in logs and in the control plane (the container's host name)
#   ADMIN_PORT       port of the admin interface on 127.0.0.1 (9901)
#   HEAP_BYTES       heap at which requests are refused; stay below the container's memory limit (1 GiB)
#   MAX_CONNECTIONS  connections from clients at one time (50000)
#   DRAIN_SECONDS    how long a replaced listener lets its connections finish (30)
#   PREDRAIN_SECONDS how long, once told to end, it takes new connections, so that load balancers can leave it (5)
#   DRAIN_LIMIT_SECONDS  how long, after that, requests may take to finish (30)
#   LOG_LEVEL        trace, debug, info, warning, error, critical or off (info)
#   BOOTSTRAP        template (/etc/envoy/bootstrap.yaml)
# Arguments are passed on to Envoy.
#
# SIGTERM begins the end: health checks fail, and each answer closes its connection (HTTP/1: `connection: close`, HTTP/2:
# GOAWAY). Then nothing is accepted any more, and when no request is left Envoy ends. A second SIGTERM ends it at once.
# Give the container PREDRAIN_SECONDS + DRAIN_LIMIT_SECONDS and a few more to stop (`stop_grace_period`).
set -eu

early=
trap 'early=yes' TERM INT

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

# A file that is there, whose name needs no quoting either.
file() {
  eval "value=\$$1"
  case $value in
    /*) ;;
    '') fail "$1 is not set: TLS needs all of XDS_CA, XDS_CERT and XDS_KEY" ;;
    *) fail "$1=\"$value\": not a whole path, from / on" ;;
  esac
  case $value in
    *[!A-Za-z0-9._/-]*) fail "$1=\"$value\": only letters, digits and . _ / - may stand in a path" ;;
  esac
  [ -r "$value" ] || fail "$1=\"$value\": no such file, or not for this user"
}

number() {
  eval "value=\$$1"
  case $value in
    '' | *[!0-9]* | 0* | ?????????????????*) fail "$1=\"$value\": not a whole number above 0" ;;
  esac
  if [ "$value" -gt "$2" ]; then fail "$1=$value: the highest possible is $2"; fi
}

: "${XDS_HOST:=}" "${XDS_PORT:=18000}" "${XDS_CA:=}" "${XDS_CERT:=}" "${XDS_KEY:=}"
: "${FLEET:=default}" "${NODE_ID:=$(hostname)}" "${ADMIN_PORT:=9901}"
: "${HEAP_BYTES:=1073741824}" "${MAX_CONNECTIONS:=50000}" "${DRAIN_SECONDS:=30}" "${LOG_LEVEL:=info}"
: "${PREDRAIN_SECONDS:=5}" "${DRAIN_LIMIT_SECONDS:=30}" "${BOOTSTRAP:=/etc/envoy/bootstrap.yaml}"

name XDS_HOST "the control plane's name or address"
number XDS_PORT 65535
name FLEET "the fleet's name"
name NODE_ID "this Envoy's name"
number ADMIN_PORT 65535
number HEAP_BYTES 9007199254740991
number MAX_CONNECTIONS 2147483647
number DRAIN_SECONDS 86400
# 0: nobody in front would have to notice.
[ "$PREDRAIN_SECONDS" = 0 ] || number PREDRAIN_SECONDS 86400
number DRAIN_LIMIT_SECONDS 86400
case $LOG_LEVEL in
  trace | debug | info | warning | error | critical | off) ;;
  *) fail "LOG_LEVEL=\"$LOG_LEVEL\": not one of trace, debug, info, warning, error, critical, off" ;;
esac
if [ "$XDS_CA$XDS_CERT$XDS_KEY" ]; then
  file XDS_CA
  file XDS_CERT
  file XDS_KEY
  case ${TMPDIR:-/tmp} in
    *[!A-Za-z0-9._/-]*) fail "TMPDIR=\"$TMPDIR\": only letters, digits and . _ / - may stand in a path" ;;
  esac
fi
[ -r "$BOOTSTRAP" ] || fail "BOOTSTRAP=\"$BOOTSTRAP\": no such file"

XDS_SECRETS=${TMPDIR:-/tmp}
config=$XDS_SECRETS/envoy-bootstrap.yaml
set -- --config-path "$config" --drain-time-s "$DRAIN_SECONDS" --log-level "$LOG_LEVEL" "$@"
# In a container Envoy is replaced, never restarted in place; so no shared memory is needed either.
set -- --disable-hot-restart "$@"
for key in XDS_HOST XDS_PORT FLEET NODE_ID ADMIN_PORT HEAP_BYTES MAX_CONNECTIONS; do
  eval "value=\$$key"
  script="${script:-}s|\${$key}|$value|g;"
done
# Each file of its own, since Envoy takes one secret from a file; the folder is watched, in which links may be set anew.
secret() {
  echo 'resources:'
  echo '- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
  echo "  name: $1"
}
if [ "$XDS_CA" ]; then
  script="${script}s|#tls ||;s|\${XDS_SECRETS}|$XDS_SECRETS|g;"
  {
    secret xds_certificate
    echo "  tls_certificate:"
    echo "    certificate_chain: {filename: $XDS_CERT}"
    echo "    private_key: {filename: $XDS_KEY}"
    echo "    watched_directory: {path: $(dirname "$XDS_CERT")}"
  } >"$XDS_SECRETS/xds_certificate.yaml"
  {
    secret xds_authorities
    echo "  validation_context:"
    echo "    trusted_ca: {filename: $XDS_CA}"
    echo "    watched_directory: {path: $(dirname "$XDS_CA")}"
  } >"$XDS_SECRETS/xds_authorities.yaml"
fi
sed "$script" "$BOOTSTRAP" >"$config"

# Each takes two seconds at most.
admin() {
  ADMIN_PORT=$ADMIN_PORT admin.sh "$@"
}

# A signal does not have to wait for the end of the nap.
nap() {
  sleep "$1" &
  nap=$!
  wait "$nap" || :
}

say() {
  echo "entrypoint: $1" >&2
}

# Sets `requests` under way from clients, those so `far`, and `connections` from them; fails if Envoy did not answer.
count() {
  requests=0 far=0 connections=0 answered=
  while read -r name value; do
    case $name in
      http.admin.*) answered=yes ;;
      http.*.downstream_rq_active:) requests=$((requests + value)) ;;
      http.*.downstream_rq_total:) far=$((far + value)) ;;
      http.*.downstream_cx_active:) connections=$((connections + value)) ;;
    esac
  done <<STATS
$(admin GET '/stats?filter=%5Ehttp%5C.')
STATS
  [ "$answered" ]
}

# Waits until no request is left. A connection that is open and idle may yet bring one, whose answer will close it; such
# are waited for until nothing has come for two seconds.
finish() {
  deadline=$(($(date +%s) + DRAIN_LIMIT_SECONDS)) quiet=0 before=
  while [ "$(date +%s)" -lt "$deadline" ]; do
    if count; then
      if [ "$connections" = 0 ]; then return; fi
      if [ "$requests" = 0 ] && [ "$far" = "$before" ]; then quiet=$((quiet + 1)); else quiet=0; fi
      if [ "$quiet" = 2 ]; then return; fi
      before=$far
    fi
    nap 1
  done
  say "requests under way after $DRAIN_LIMIT_SECONDS s: $requests"
}

# What `drain_listeners?graceful` does beyond this is to close the listeners by a clock that replaced listeners have too.
drain() {
  nap=
  trap 'kill "$nap" 2>/dev/null; wait; exit' TERM
  if admin GET /ready >/dev/null; then ready=yes; else ready=; fi
  if admin POST /healthcheck/fail >/dev/null; then
    say "told to end: health check fails, connections close with their next answer"
    # One that took no traffic yet has nobody to tell.
    if [ "$ready" ] && [ "$PREDRAIN_SECONDS" != 0 ]; then nap "$PREDRAIN_SECONDS"; fi
    admin POST /drain_listeners >/dev/null || :
    finish
  fi
  say "ending Envoy"
  kill -TERM "$envoy" 2>/dev/null
}

end() {
  interrupted=yes
  if [ "$drain" ]; then
    kill -TERM "$envoy" 2>/dev/null || :
  else
    drain &
    drain=$!
  fi
}

[ -z "$early" ] || exit 143
envoy "$@" &
envoy=$! drain= status=127 interrupted=yes
trap end TERM INT
[ -z "$early" ] || end
while [ "$interrupted" ]; do
  interrupted=
  wait "$envoy" && code=0 || code=$?
  # 127: an interrupted wait has got the status already.
  [ "$code" = 127 ] || status=$code
done
if [ "$drain" ]; then
  kill -TERM "$drain" 2>/dev/null || :
  wait "$drain" || :
fi
exit "$status"
