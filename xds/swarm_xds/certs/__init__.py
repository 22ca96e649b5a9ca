"""Certificates and their private keys: what can be served now, and where it comes from.

Beside the arrow: ``values`` and ``choose`` are pure and stand low, so that plan and translation may use them; the
sources read and watch, and know nothing of labels, routes or Envoy.
"""
