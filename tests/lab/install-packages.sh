#!/bin/sh
# Install the Debian packages that the tests on a real swarm need, where this may; else leave it to the tests to say so.
set -eu
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
missing=
while read -r package; do
  # Another engine is as good, and must not be replaced.
  [ "$package" = docker.io ] && command -v dockerd >/dev/null && continue
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done <"$1"
[ -n "$missing" ] || exit 0
# The engine is for the tests' own namespaces: none is to start on this machine itself.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -q
# shellcheck disable=SC2086 # one word a package
apt-get install -qy --no-install-recommends $missing
