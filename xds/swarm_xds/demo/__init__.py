"""The demonstration: a control plane on a stack file, small backends and a real Envoy, all on this machine.

It follows edits of the file and says what each did and how long it took until Envoy served it. Not part of the arrow:
it stands outside and uses it as an operator would.
"""

from swarm_xds.demo.envoy import EnvoyError, find_envoy
from swarm_xds.demo.run import Demo, DemoOptions

__all__ = ["Demo", "DemoOptions", "EnvoyError", "find_envoy"]
