#!/bin/sh
# Succeeds if Envoy has its configuration and takes traffic. Envoy's image has no HTTP client, but bash; others have wget.
port=${ADMIN_PORT:-9901}
if command -v wget >/dev/null; then
  exec wget -q -O /dev/null "http://127.0.0.1:$port/ready"
fi
exec timeout 2 bash -c '
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf "GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" >&3
  read -r _ status _ <&3
  [ "$status" = 200 ]
' healthcheck "$port"
