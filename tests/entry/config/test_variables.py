"""Errors of settings name the variable and the rule, and never the value."""

from __future__ import annotations

import pytest
from keyturn.domain.policy import DEPLOYMENT_BOUNDS
from keyturn.entry.config.settings import SettingsError, from_environment

LOCAL = {"KEYTURN_STAGE": "local"}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("STAGE", "a-secret", "must be one of local, production, trial"),
        ("DATA", " ", "must be a path"),
        ("SIGN_KEY_FILE", "", "must be a path"),
        ("AUDIENCE", "a secret", "must be 1 to 256 printable ASCII characters"),
        ("AUDIENCE", "", "must be 1 to 256 printable ASCII characters"),
        ("AUTHORISER", "a-secret", "must be one of attested_admin, unsafe_no_attestation"),
        ("LISTEN", "yes", "must be a whole number from 0 to 1"),
        ("LISTEN", "2", "must be a whole number from 0 to 1"),
        ("BASE_URL", "keys.example", "must be an http"),
        ("BASE_URL", "https://alice:a-secret@keys.example", "must be an http"),
        ("BASE_URL", "https://keys.example?a-secret", "must be an http"),
        ("BASE_URL", "https://keys.example:port", "must be an http"),
        ("RELAYS", "https://relay.example", "must be a list of ws"),
        ("POLICY_QUORUM", "900", "must be a whole number from 1 to 50"),
        ("POLICY_GRACE_SECONDS", "-5", "must be a whole number from 0 to 2592000"),
        ("POLICY_GRACE_SECONDS", "1_000", "must be a whole number"),
        ("POLICY_GRACE_SECONDS", "1e5", "must be a whole number"),
        ("POLICY_GRACE_SECONDS", "٣", "must be a whole number"),
        ("POLICY_GRACE_SECONDS", "9" * 5000, "must be a whole number"),
        ("POLICY_INVITE_QUORUM", "0", "must be a whole number from 1 to 50"),
    ],
)
def test_a_malformed_variable_is_named_with_its_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_environment({**LOCAL, f"KEYTURN_{name}": value})
    assert f"KEYTURN_{name} {rule}" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "900" not in str(refused.value)


@pytest.mark.parametrize("policy", DEPLOYMENT_BOUNDS)
def test_bounds_of_policies_hold_for_a_deployment(policy: str) -> None:
    variable = f"KEYTURN_POLICY_{policy.upper()}"
    low, high = DEPLOYMENT_BOUNDS[policy]
    for value in (low, high):
        assert getattr(from_environment({**LOCAL, variable: str(value)}).policy, policy) == value
    for value in (low - 1, high + 1):
        with pytest.raises(SettingsError, match=variable):
            from_environment({**LOCAL, variable: str(value)})


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("KEYTURN_POLICY_GRACE", "the nearest one is KEYTURN_POLICY_GRACE_SECONDS"),
        ("KEYTURN_BASEURL", "the nearest one is KEYTURN_BASE_URL"),
        ("KEYTURN_POLICY_RETIRE_EARLY", "is no setting"),
        ("KEYTURN_ZZZ", "docs/settings.md lists all settings"),
        ("KEYTURN_", "docs/settings.md lists all settings"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(name: str, proposal: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_environment({**LOCAL, name: "a-secret"})
    assert f"{name} is no setting" in str(refused.value)
    assert proposal in str(refused.value)
    assert "a-secret" not in str(refused.value)


def test_variables_that_kubernetes_adds_for_a_service_are_no_settings() -> None:
    links = {
        "KEYTURN_SERVICE_HOST": "10.0.0.11",
        "KEYTURN_SERVICE_PORT": "443",
        "KEYTURN_SERVICE_PORT_HTTPS": "443",
        "KEYTURN_PORT": "tcp://10.0.0.11:443",
        "KEYTURN_PORT_443_TCP": "tcp://10.0.0.11:443",
        "KEYTURN_PORT_443_TCP_PROTO": "tcp",
        "KEYTURN_TOKEN_PROXY_SERVICE_HOST": "10.0.0.12",
        "KEYTURN_TOKEN_PROXY_PORT_80_TCP_ADDR": "10.0.0.12",
    }
    assert from_environment({**LOCAL, **links}) == from_environment(LOCAL)
