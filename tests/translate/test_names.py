"""Names of what is no service's."""

import re

import pytest

from swarm_xds.translate import names


@pytest.mark.parametrize("name", [names.CONTROL_PLANE, names.COLLECTOR])
def test_no_service_can_have_the_name_of_a_cluster_of_ours(name: str) -> None:
    """Else Envoy would take one for the other, and send a service's requests to the control plane."""
    assert not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", name)
