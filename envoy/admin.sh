#!/bin/sh
# Asks Envoy's admin interface: admin.sh METHOD PATH. Prints the answer's body; succeeds if its status is 200.
# Envoy's image has no HTTP client, but bash; without that it takes busybox's wget.
export port="${ADMIN_PORT:-9901}" method="$1" path="$2"
if ! command -v bash >/dev/null; then
  if [ "$method" = POST ]; then set -- --post-data ''; else set --; fi
  # No `timeout`: busybox's leaves a process behind that holds the output open for up to a second.
  exec wget -q -O - "$@" "http://127.0.0.1:$port$path"
fi
# shellcheck disable=SC2016  bash expands it
exec timeout 2 bash -c '
  exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
  printf "%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" "$method" "$path" >&3
  read -r _ status _ <&3
  # What follows the empty line is the body. It comes in chunks, whose lengths stand on lines of their own.
  while read -r line && [ ${#line} -gt 1 ]; do :; done <&3
  cat <&3
  [ "$status" = 200 ]
' admin
