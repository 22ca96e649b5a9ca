"""Control plane for Envoy on Docker Swarm: labels in, xDS out.

The packages are the stages of one arrow, each importing only what stands before it::

    sources → swarm → labels → plan → model → translate → snapshot → server

``app`` wires them, ``cli`` starts ``app``.
"""
