"""The one table of keys."""

import pytest

from swarm_xds.labels import keys
from swarm_xds.labels.keys import Due


def test_names_are_unique() -> None:
    """No name stands for two keys."""
    names = [name for key in keys.TABLE for name in (key.name, *key.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("key", [key for key in keys.TABLE if key.due is Due.NOW], ids=lambda key: key.name)
def test_each_served_key_explains_itself(key: keys.Key[object]) -> None:
    """One line of documentation, and an example that is good."""
    assert key.doc.endswith(".")
    assert "\n" not in key.doc
    for part in key.example.split(key.separator) if key.separator else (key.example,):
        key.parse(part)


def test_families_have_members_and_nothing_else() -> None:
    """`cors.*` stands for names below it, not for itself."""
    assert keys.find("cors.max_age") is keys.find("cors.allow_origin") is not None
    assert keys.find("cors.") is None
    assert keys.find("cors") is None
    with pytest.raises(KeyError):
        keys.of("cors")
