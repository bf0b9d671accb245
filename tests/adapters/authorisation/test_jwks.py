from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keyturn.adapters.authorisation.jwks import (
    FRESH_SECONDS,
    LARGEST_SET_BYTES,
    PAUSE_SECONDS,
    STALE_SECONDS,
    TrustedKeys,
    https_fetch,
    read_jwks,
)
from keyturn.domain.errors import Unavailable
from keyturn.proofs.errors import Malformed

from tests.adapters.attestation.authorities import root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


class Publisher(BaseHTTPRequestHandler):
    """An issuer's web server; `body` is what it publishes."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_args: object) -> None:
        """Write nothing."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve over TLS, under a certificate whose root this process trusts for now."""
    authority, key = root(), ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = authority.issue("localhost", key.public_key(), [(names, False)])
    (tmp_path / "root.pem").write_bytes(authority.pem)
    whole = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(
        Encoding.PEM
    )
    (tmp_path / "server.pem").write_bytes(whole)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with HTTPServer(("127.0.0.1", 0), Publisher) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://localhost:{server.server_port}/jwks"
        server.shutdown()


def test_a_set_is_fetched_from_its_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, "body", b'{"keys": [{"kid": "a"}]}')
    keys = TrustedKeys(https_fetch(address), lambda: 0.0, pause_seconds=0)
    assert keys.named("a") == {"kid": "a"}


def test_a_set_that_is_too_large_or_not_to_be_trusted_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, "body", b" " * (LARGEST_SET_BYTES + 1))
    with pytest.raises(OSError, match="too large"):
        https_fetch(address)()
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(OSError, match="certificate"):
        https_fetch(address)()
