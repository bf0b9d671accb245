"""No secret anywhere: not in a file, log, answer or error, in none of the forms that it could take (invariant 6)."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Broken
from keyturn.ports.keys import KeyUnavailable
from keyturn.use_cases.client_repository import Clients
from keyturn.use_cases.distribution.distribute import DistributeSecrets

from tests.world import CLIENT, World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.world(founded=False, kind="sqlite")


def forms(secret: str) -> dict[str, bytes]:
    """Return a secret in the encodings that programs write into logs, URLs and files."""
    text, data = secret.encode(), base64url_decode(secret)
    return {
        "text": text,
        "reversed": text[::-1],
        "hex": text.hex().encode(),
        "upper-case hex": text.hex().upper().encode(),
        "base64": base64.b64encode(text).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(text).rstrip(b"="),
        "escaped for a URL": "".join(f"%{byte:02X}" for byte in text).encode(),
        "quoted for a URL": quote(secret, safe="").replace("-", "%2D").encode(),
        "escaped for JSON": "".join(f"\\u{byte:04x}" for byte in text).encode(),
        "UTF-16": secret.encode("utf-16-le"),
        "bytes": data,
        "bytes in hex": data.hex().encode(),
        "bytes in base64": base64.b64encode(data).rstrip(b"="),
        "repr of the bytes": repr(data)[2:-1].encode(),
        "list of the bytes": json.dumps(list(data))[1:-1].encode(),
    }


def found(secret: str, places: dict[str, bytes]) -> list[tuple[str, str]]:
    return [(where, form) for where, data in places.items() for form, value in forms(secret).items() if value in data]


class Recorder:
    """Records every answer of every function."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[bytes] = []
        call = world.call

        def recorded(*args: object, **named: object) -> object:
            answer = call(*args, **named)  # type: ignore[arg-type]  # as it was called
            self.heard.append(answer.get_data() + str(answer.headers).encode())
            return answer

        monkeypatch.setattr(world, "call", recorded)


class LyingMac:
    """A MAC key that says no to what it made; or cannot be reached."""

    def __init__(self, world: World, error: type[Exception] | None = None) -> None:
        self._mac = world.keys.mac
        self._error = error

    def current(self) -> str:
        return self._mac.current()

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        return self._mac.sign(mac_key_ref, data)

    def verify(self, _mac_key_ref: str, _data: bytes, _tag: bytes) -> bool:
        if self._error:
            raise self._error
        return False


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole_life(world: World) -> list[str]:
    """Issue, rotate, refuse, roll back, retire; return the secrets."""
    world.found("alice", "bob", policy={"quorum": 1})
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    second = world.issue("bob", "alice")
    for secret in (first, second, "A" + first[1:], first[:-1], first + "="):
        world.check(secret)
        form = urlencode({"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": secret}).encode()
        world.call("POST", "/client_token/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    world.call("POST", "/rotate_request/", json.dumps({"secret": first, "content": second}).encode())
    world.call("GET", f"/status/clients/{first}")
    world.call("GET", f"/client_token/{second}", b"", {"Authorization": f"Nostr {first}"})
    world.send(world.admins["alice"].action("rollback", {"reason": "it broke"}))
    world.clock.advance(hours=2)
    world.sweep()
    world.keys.disable(world.keys.mac.current())
    world.check(first)
    return [first, second]


def test_no_secret_is_in_a_file_a_log_or_an_answer(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    recorder = Recorder(world, monkeypatch)

    secrets = whole_life(world)

    places = {
        **files(world.folder),
        "logs": "\n".join(map(logging.Formatter().format, caplog.records)).encode(),
        "answers": b"\n".join(recorder.heard),
        "documents": world.dump(),
    }
    assert len(places) > 8
    assert b"part_unavailable" in places["answers"]
    assert b"KeyRefused" in places["logs"]
    assert CLIENT.encode() in places["documents"]
    for secret in secrets:
        assert found(secret, places) == []


def test_no_secret_is_in_an_error_of_distribute(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.found("alice", "bob")
    world.send(world.admins["alice"].rotation())
    rotation_id = world.document(f"oauth2_clients/{CLIENT}")["active_rotation"]
    drawn: list[bytes] = []
    suite = world.suite

    def random(size: int) -> bytes:
        drawn.append(suite.environment.random(size))
        return drawn[-1]

    environment = type(suite.environment)(random, suite.environment.sleep)
    clients = Clients(world.control, world.policy)
    texts = []
    for mac, error in ((LyingMac(world), Broken), (LyingMac(world, KeyUnavailable), KeyUnavailable)):
        with pytest.raises(error) as raised:
            DistributeSecrets(clients, suite.groups, mac, environment)(CLIENT, rotation_id)
        texts += [*traceback.format_exception(raised.value), repr(raised.value)]

    secrets = [base64.urlsafe_b64encode(data).rstrip(b"=").decode() for data in drawn if len(data) == 32]
    assert len(secrets) == 2
    places = {"errors": "".join(texts).encode(), "logs": caplog.text.encode(), **files(world.folder)}
    for secret in secrets:
        assert found(secret, places) == []


def test_the_objects_that_hold_secrets_do_not_show_them(world: World) -> None:
    world.found("alice", "bob")
    secret = world.issue("alice", "bob")
    suite, alice = world.suite, world.admins["alice"]
    notice = alice.device.inbox()[0]
    shown = [
        suite,
        suite.groups,
        suite.keys,
        suite.verification.verifier,
        suite.verification.tokens,
        suite.distribution.distribute,
        alice,
        notice,
    ]
    texts = {str(number): f"{item!r} {item}".encode() for number, item in enumerate(shown)}
    assert found(secret, texts) == []
    private = alice.signer.private_key
    assert not [text for text in texts.values() if private.hex().encode() in text or repr(private).encode() in text]


def test_the_scan_finds_what_is_there(world: World) -> None:
    secret = "Zm9vYmFyYmF6cXV4-_Zm9vYmFyYmF6cXV4Zm9vYmFyYg"[:42] + "A"
    for form, value in forms(secret).items():
        assert ("planted", form) in found(secret, {"planted": b"before" + value + b"after"})
    (world.folder / "leak.txt").write_text(f"it is {secret}")
    assert ("text", str(world.folder / "leak.txt")) in [
        (form, where) for where, form in found(secret, files(world.folder))
    ]
