"""The project's own certificates: those by which control planes, proxies and relays know each other.

Beside the arrow, and started by hand: ``swarm-xds pki``. It has nothing to do with the certificates that hosts are
served with, and knows nothing of labels, routes or Envoy.
"""
