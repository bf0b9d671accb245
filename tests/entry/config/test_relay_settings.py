"""`KEYTURN_RELAYS`: off by default, addresses only, and nothing that an address holds is echoed."""

from __future__ import annotations

import importlib.util

import pytest
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import SettingsError, from_environment, to_environment
from keyturn.ports.authorisation import ATTESTED_ADMIN as PROOF_AUTHORISER

LOCAL = {"KEYTURN_STAGE": "local"}
NEAR, FAR = "ws://127.0.0.1:7000", "wss://relay.example/nostr"


def test_without_relays_nothing_is_published() -> None:
    settings = from_environment(LOCAL)
    assert settings.relays == ()
    assert Suite(settings).distribution.publish_log is None
    assert "KEYTURN_RELAYS" not in to_environment(settings)


def test_relays_are_a_list_that_comes_back() -> None:
    settings = from_environment({**LOCAL, "KEYTURN_RELAYS": f" {NEAR}  {FAR}\n"})
    assert settings.relays == (NEAR, FAR)
    assert from_environment(to_environment(settings)).relays == (NEAR, FAR)


@pytest.mark.parametrize(
    "value", ["https://secret.example", "secret.example", "ws://", "wss://name:secret@relay.example", "ws://[secret"]
)
def test_a_malformed_address_is_refused_and_not_echoed(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_environment({**LOCAL, "KEYTURN_RELAYS": value})
    assert "KEYTURN_" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_production_wants_tls() -> None:
    production = {"KEYTURN_STAGE": "production", "KEYTURN_AUTHORISER": PROOF_AUTHORISER}
    assert from_environment({**production, "KEYTURN_RELAYS": FAR}).relays == (FAR,)
    with pytest.raises(SettingsError, match="relays without TLS"):
        from_environment({**production, "KEYTURN_RELAYS": NEAR})


def test_relays_without_their_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="nostr-sdk, which is not installed"):
        from_environment({**LOCAL, "KEYTURN_RELAYS": NEAR})
    assert from_environment(LOCAL).relays == ()
