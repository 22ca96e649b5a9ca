"""Metrics for Prometheus and health for whoever watches the process.

In: the ``Record`` and a ``Probe`` of what else can be asked. Out: an HTTP endpoint with ``/metrics``, ``/healthz`` and
``/readyz``. It changes nothing, and must not know labels or Envoy's messages.
"""

from swarm_xds.metrics.collect import Metrics, Probe
from swarm_xds.metrics.server import MetricsServer
from swarm_xds.metrics.table import TABLE, Metric

__all__ = ["TABLE", "Metric", "Metrics", "MetricsServer", "Probe"]
