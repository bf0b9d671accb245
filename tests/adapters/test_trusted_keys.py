from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from shared.adapters.trusted_keys import (
    FRESH_SECONDS,
    PAUSE_SECONDS,
    STALE_SECONDS,
    TrustedKeys,
    https_fetch,
    read_jwks,
)
from shared.domain.errors import Unavailable
from shared.proofs.errors import Malformed


@dataclass
class Issuer:
    """Whoever publishes a set, on a network that may be down, and a clock."""

    kids: list[str] = field(default_factory=lambda: ["a"])
    up: bool = True
    now: float = 1000.0
    fetches: int = 0

    def fetch(self) -> bytes:
        self.fetches += 1
        if not self.up:
            raise OSError
        return json.dumps({"keys": [{"kid": kid, "kty": "EC"} for kid in self.kids]}).encode()

    def keys(self) -> TrustedKeys:
        return TrustedKeys(self.fetch, lambda: self.now)


def test_a_fresh_set_is_asked_for_once() -> None:
    issuer = Issuer()
    keys = issuer.keys()
    assert [keys.named("a"), keys.named("a")] == [{"kid": "a", "kty": "EC"}] * 2
    assert issuer.fetches == 1


def test_a_new_key_is_known_at_once_and_a_retired_one_forgotten_when_the_set_is_renewed() -> None:
    issuer = Issuer()
    keys = issuer.keys()
    keys.named("a")
    issuer.kids, issuer.now = ["b"], issuer.now + PAUSE_SECONDS
    assert keys.named("b") is not None
    issuer.kids, issuer.now = ["c"], issuer.now + FRESH_SECONDS
    assert keys.named("b") is None


def test_made_up_ids_cost_one_fetch_a_second_and_refuse_nobody() -> None:
    issuer = Issuer()
    keys = issuer.keys()
    assert keys.named("made up") is None
    for _ in range(50):
        with pytest.raises(Unavailable):
            keys.named("made up")
        assert keys.named("a") is not None
    assert issuer.fetches == 1
    issuer.now += PAUSE_SECONDS
    assert keys.named("made up") is None


def test_a_set_that_cannot_be_renewed_serves_until_it_is_stale() -> None:
    issuer = Issuer()
    keys = issuer.keys()
    keys.named("a")
    issuer.up, issuer.now = False, issuer.now + STALE_SECONDS - 1
    assert keys.named("a") is not None
    with pytest.raises(Unavailable):
        keys.named("b")
    issuer.now += 1
    with pytest.raises(Unavailable):
        keys.named("a")
    issuer.up, issuer.now = True, issuer.now + PAUSE_SECONDS
    assert keys.named("a") is not None


def test_without_any_set_nothing_is_known() -> None:
    with pytest.raises(Unavailable):
        Issuer(up=False).keys().named("a")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [], "keys": []}'])
def test_what_is_no_set_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        read_jwks(text)


def test_keys_without_a_distinct_id_are_left_out() -> None:
    keys = [{"kid": "a"}, {"kid": "b"}, {"kid": "b"}, {"kty": "EC"}, {"kid": ""}, "junk"]
    assert read_jwks(json.dumps({"keys": keys}).encode()) == {"a": {"kid": "a"}}


@pytest.mark.parametrize("address", ["http://keys.example", "file:///etc/passwd", ""])
def test_keys_are_fetched_over_https_only(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        https_fetch(address)
