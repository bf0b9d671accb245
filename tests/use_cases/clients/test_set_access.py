"""A client's end and its address ranges, at the token endpoint, at checks and in guards."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.encodings import to_milliseconds
from keyturn.ports.store import Replace
from keyturn.records import paths
from keyturn.verifier.middleware.credentials import Denial, Guard
from keyturn.verifier.verdict import Reason
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.token_requests import GRANT, claims_of, oauth_error, post
from tests.world import CLIENT, EACH_STORE

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.world("alice", "bob")

INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"


def set_access(world: World, **changes: object) -> dict[str, Any]:
    answer = world.operator(f"/clients/{CLIENT}/access", changes)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def entries(world: World) -> list[dict[str, Any]]:
    found = [data for path, (_, data) in sorted(world.documents().items()) if path.startswith(paths.audit(CLIENT))]
    return [cast("dict[str, Any]", data) for data in found]


def caching_verifier(world: World) -> tuple[Verifier, list[float]]:
    clock = [0.0]
    caching = Caching(lambda: clock[0], background=lambda _poll: None)
    return Verifier(world.control, world.keys.mac, world.policy, caching=caching), clock


@EACH_STORE
def test_after_its_end_a_client_is_refused_everywhere(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = cast("Any", post(world, GRANT, (CLIENT, secret)).json)["access_token"]
    end = world.milliseconds(minutes=5)
    assert set_access(world, valid_until=end)["valid_until"] == end
    shown = world.check(secret)
    assert (shown["accepted"], shown["not_after"]) == (True, end)
    answer = post(world, GRANT, (CLIENT, secret))
    assert claims_of(world, answer)["exp"] * 1000 <= end  # no token outlives the client
    assert parsedate_to_datetime(answer.headers["Sunset"]).timestamp() * 1000 == end
    assert "Deprecation" not in answer.headers
    world.clock.advance(minutes=5)
    assert not world.check(secret)["accepted"]
    assert oauth_error(post(world, GRANT, (CLIENT, secret))) == (401, "invalid_client")
    gate = world.call("GET", "/client_token/check", headers={"Authorization": f"Bearer {token}"})
    assert gate.status_code == 401
    assert world.suite.verification.verifier.check(CLIENT, secret).reason is Reason.EXPIRED
    assert set_access(world, valid_until=None)["valid_until"] is None
    assert world.check(secret)["accepted"]


def test_a_kept_verdict_ends_with_its_client(world: World) -> None:
    secret = world.issue("alice", "bob")
    set_access(world, valid_until=world.milliseconds(seconds=3))
    verifier, clock = caching_verifier(world)
    assert verifier.check(CLIENT, secret).accepted
    clock[0] += 2
    assert verifier.check(CLIENT, secret).accepted
    world.clock.advance(seconds=3.5)
    clock[0] += 1.5
    assert not verifier.check(CLIENT, secret).accepted


def test_a_request_from_elsewhere_is_refused_also_from_the_cache(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = cast("Any", post(world, GRANT, (CLIENT, secret)).json)["access_token"]
    assert set_access(world, sources=["192.0.2.0/24"])["sources"] == ["192.0.2.0/24"]
    verifier, _ = caching_verifier(world)
    for _ in range(2):
        assert verifier.check(CLIENT, secret, source=INSIDE).accepted
        assert verifier.check(CLIENT, secret, source=OUTSIDE).reason is Reason.WRONG_SOURCE
        assert not verifier.check(CLIENT, secret).accepted  # loopback, or a service that names no source
    guard = Guard(verifier, world.suite.verification.token_checker)
    for headers in ({"x-client-id": CLIENT, "x-api-key": secret}, {"authorization": f"Bearer {token}"}):
        assert not isinstance(guard.decide(headers, source=INSIDE), Denial)
        assert cast("Denial", guard.decide(headers, source=OUTSIDE)).status == 401
    assert not world.check(secret)["accepted"]  # tests call from loopback
    set_access(world, sources=["192.0.2.0/24", "127.0.0.0/8"])
    assert world.check(secret)["accepted"]
    assert post(world, GRANT, (CLIENT, secret)).status_code == 200
    set_access(world, sources=[])
    assert verifier.check(CLIENT, secret, source=INSIDE).accepted


def test_a_change_is_audited_once(world: World) -> None:
    end = datetime(2027, 1, 31, tzinfo=UTC)
    changes = {"valid_until": to_milliseconds(end), "sources": ["192.0.2.0/24"]}
    assert set_access(world, **changes) == set_access(world, **changes)
    (entry,) = [item for item in entries(world) if item["action"] == "set_access"]
    assert entry["reason"] == f"valid_until={to_milliseconds(end)}, sources=192.0.2.0/24"
    assert set_access(world, sources=[])["valid_until"] == to_milliseconds(end)


@pytest.mark.parametrize(
    "changes", [{"valid_until": 1000}, {"valid_until": "soon"}, {"sources": ["x"]}, {"sources": 1}]
)
def test_what_is_no_end_or_range_is_refused(world: World, changes: dict[str, object]) -> None:
    answer = world.operator(f"/clients/{CLIENT}/access", changes)
    assert (answer.status_code, cast("Any", answer.json)["reason"]) == (400, "bad_field")


@pytest.mark.parametrize("damage", [{"valid_until": "x"}, {"sources": "x"}, {"sources": [1]}])
def test_a_damaged_end_or_range_accepts_nothing(world: World, damage: dict[str, Any]) -> None:
    secret = world.issue("alice", "bob")
    path = paths.client(CLIENT)
    document = world.control.inner.get([path])[path]
    world.control.inner.commit([Replace(path, {**document.fields, **damage}, cast("str", document.version))])
    answer = world.call("POST", "/client_token/check", b"", {"X-Client-Id": CLIENT, "X-API-Key": secret})
    assert answer.status_code != 200
