"""The name of every resource: the one place where they are made.

Clusters and endpoints bear their backend's name: ``shop_web``, or ``shop_web/api`` for a named route.
"""

#: The plain HTTP listener, and the route configuration that it asks for.
HTTP = "http"
#: The cluster of the control plane in the bootstrap.
CONTROL_PLANE = "xds"
