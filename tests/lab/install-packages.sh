#!/bin/sh
# Installs the Debian packages named in a file, as far as they are missing: what a lab needs on this machine.
# Where that isn't possible it says so and succeeds: the lab's tests then skip with the reason, or fail where CI=true.
set -eu

missing=
for package in $(cat "$1"); do
  case $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed) ;;
    *) missing="$missing $package" ;;
  esac
done
if ! command -v apt-get >/dev/null; then
  echo "install-packages: not Debian; a lab needs what these packages have: $(tr '\n' ' ' <"$1")" >&2
  exit 0
fi
# From Debian 13 on, the command line is a package of its own that the engine only recommends.
if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then missing="$missing docker-cli"; fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "install-packages: without root not installed:$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# No daemon is started: a lab starts its own, and of Prometheus only the checks are used.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
# shellcheck disable=SC2086  one word a package
apt-get install -qy --no-install-recommends $missing
if ! command -v docker >/dev/null; then apt-get install -qy --no-install-recommends docker-cli; fi
