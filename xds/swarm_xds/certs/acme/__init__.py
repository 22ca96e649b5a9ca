"""Certificates by ACME (RFC 8555): ordered for the hosts that are wanted, renewed in time, served by every replica.

In: hosts, and a directory that all replicas share. Out: a source of certificates, with the challenges that proxies
answer. It knows nothing of labels, routes or Envoy.
"""
