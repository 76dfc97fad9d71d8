"""Settings come from the environment, then the stored file, then the default; secrets are decided once."""

import pytest

from compose.stack.errors import Refused
from compose.stack.settings import DEFAULTS, SecretState, effective, secrets_to_generate


def test_environment_before_stored_before_default():
    """Each source yields to the one before it; an empty variable counts as unset."""
    values = effective({"BACKEND_PORT": "9000", "OPS_SUBNET": ""}, {"BACKEND_PORT": "9001", "REDIS_PORT": "7000"})
    assert values["BACKEND_PORT"] == "9000"
    assert values["REDIS_PORT"] == "7000"
    assert values["OPS_SUBNET"] == DEFAULTS["OPS_SUBNET"]


def test_every_bad_value_is_named_at_once():
    """A person corrects all of them in one go."""
    bad = {
        "BACKEND_PORT": "70000",
        "OPS_SUBNET": "172.20.0.1/16",
        "OPS_BIND": "here",
        "OPS_PROJECT": "Big One",
        "OPS_IMAGES": "magic",
        "REDIS_PORT": "5432",
    }
    with pytest.raises(Refused) as refusal:
        effective(bad, {})
    for name in bad:
        assert name in str(refusal.value)


def test_missing_secrets_are_generated_and_present_ones_kept():
    """Only what has no value is made."""
    states = [SecretState("A", present=True), SecretState("B", present=False)]
    assert secrets_to_generate(states) == ("B",)


def test_a_secret_that_a_database_took_over_is_never_replaced():
    """Missing or changed while the data is there: refused, both named, no new password."""
    states = [
        SecretState("A", present=False, store="postgres", store_exists=True),
        SecretState("B", present=True, store="neo4j", store_exists=True, adopted="1", current="2"),
    ]
    with pytest.raises(Refused) as refusal:
        secrets_to_generate(states)
    assert "A is missing" in str(refusal.value)
    assert "B differs" in str(refusal.value)


def test_a_changed_secret_is_fine_once_the_data_is_gone():
    """After the volume was removed the store takes the new value."""
    assert secrets_to_generate([SecretState("B", present=True, store="db", adopted="1", current="2")]) == ()


def test_our_two_stacks_never_share_a_project():
    """Each would take the other's containers for orphans; a bad subnet of the stores is named as well."""
    with pytest.raises(Refused, match="OPS_PROJECT and OPS_STORES_PROJECT are both x"):
        effective({"OPS_PROJECT": "x", "OPS_STORES_PROJECT": "x"}, {})
    with pytest.raises(Refused, match="OPS_STORES_SUBNET"):
        effective({"OPS_STORES_SUBNET": "here"}, {})
