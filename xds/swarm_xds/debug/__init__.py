"""The debug API: what a running control plane knows, over gRPC.

In: the ``Record`` and a ``Probe`` of what else can be asked. Out: answers, on a listener of its own. It changes
nothing, and no secret leaves it.
"""
