"""Moving over from Interlock: what becomes of its labels and of its configuration file. Pure.

In: a service's labels, or the content of Interlock's TOML file. Out: a ``Finding`` for each label and option, and the
settings that correspond. It must not know files, engines or the command line.
"""

from swarm_xds.migrate.findings import Fate, Finding
from swarm_xds.migrate.interlock import ConfigurationError, configuration
from swarm_xds.migrate.labels import labels

__all__ = ["ConfigurationError", "Fate", "Finding", "configuration", "labels"]
