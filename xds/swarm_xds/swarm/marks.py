"""Labels that mark what is ours in a swarm, and Docker's own that say which stack a thing belongs to."""

#: How labels that ask for a route begin: Interlock's, ours, and the HTTP routing mesh's. What follows is the business
#: of ``labels``; sources only need to know which services carry one.
INTERLOCK = "com.docker.lb."
XDS = "xds."
HRM = "com.docker.ucp.mesh.http"
ROUTED_PREFIXES = (INTERLOCK, XDS, HRM)

#: On the fleet's own service: which fleet its tasks are the proxies of.
FLEET_LABEL = "swarm-xds.fleet"
#: On everything that a control plane puts into the swarm: the id of the network that it is there for.
RELAY_LABEL = "swarm-xds.relay"
RELAY_FLEET_LABEL = "swarm-xds.relay.fleet"
FINGERPRINT_LABEL = "swarm-xds.relay.fingerprint"
#: On the fleet's own service, with the id of a network behind it: we have attached the service to that network, whose
#: name is the value. It stays after the service is detached, until nothing is left to be done about the network.
ATTACHED = "swarm-xds.attached."
#: On a reader of secrets: the ids of those that it hands over, with commas.
READER_LABEL = "swarm-xds.reader"
#: On the secrets that hold our own certificates: the fingerprint of the set that a secret belongs to.
PKI_LABEL = "swarm-xds.pki"
#: Docker's: whose ``stack rm`` takes it along.
STACK_LABEL = "com.docker.stack.namespace"
