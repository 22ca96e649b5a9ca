#!/bin/sh
# Succeeds if Envoy has its configuration and takes traffic; not any more once it has been told to end.
exec admin.sh GET /ready >/dev/null
