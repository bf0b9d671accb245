from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import ApiClient, HttpResponse
from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.device.core.signed_events import EventSigner

from tests.world import URL, Clock

if TYPE_CHECKING:
    from keyturn.device.device import Device

    from tests.service import Service


def problem(status: int, error: str, reason: str = "") -> HttpResponse:
    fields = {"error": error, "reason": reason, "detail": "A sentence.", "status": status}
    return HttpResponse(status, {"retry-after": "42"}, json.dumps(fields).encode())


@pytest.fixture
def signer(clock: Clock) -> EventSigner:
    return EventSigner(b"\x07" * 32, clock, os.urandom)


@pytest.fixture
def api(server: Service) -> ApiClient:
    return ApiClient(URL + "/", server, lambda _seconds: None)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (problem(409, "conflict", "grace_in_progress"), "--supersede"),
        (problem(409, "conflict", "something_new"), "client show"),
        (problem(429, "rate_limited"), "42 seconds"),
        (problem(418, "teapot"), "server's log"),
    ],
)
def test_a_refusal_keeps_its_words_and_gets_a_hint(
    api: ApiClient, signer: EventSigner, server: Service, answer: HttpResponse, hint: str
) -> None:
    server.override = answer
    with pytest.raises(ServerRefusedError) as refused:
        api.client(signer, "acme")
    assert str(refused.value) == "A sentence."
    assert hint in refused.value.hint
    assert len(server.calls) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"a": 1, "a": 2}', b"\xff"])
def test_an_answer_that_is_not_the_suites_is_none(
    api: ApiClient, signer: EventSigner, server: Service, body: bytes
) -> None:
    server.override = HttpResponse(200, {}, body)
    with pytest.raises(UnreachableError):
        api.client(signer, "acme")


def test_a_read_is_repeated_when_the_server_fails(api: ApiClient, alice: Device, server: Service) -> None:
    server.calls.clear()
    server.lose_answers = 2
    assert api.client(alice.context.signer, "acme")["client_id"] == "acme"
    assert len(server.calls) == 3


def test_operator_calls_are_repeated_under_one_key(api: ApiClient, server: Service) -> None:
    server.override = problem(503, "unavailable")
    keys = []
    for group_id in ("ops", "sales"):
        server.calls.clear()
        with pytest.raises(ServerRefusedError):
            api.operator("POST", "/groups", "token", {"group_id": group_id})
        assert len(server.calls) == 3
        keys.append({call.headers["Idempotency-Key"] for call in server.calls})
    assert [len(each) for each in keys] == [1, 1]
    assert keys[0] != keys[1]


def test_a_refused_secret_is_a_verdict(api: ApiClient) -> None:
    assert api.check("acme", "wrong")["accepted"] is False


@pytest.mark.parametrize("answer", [problem(429, "rate_limited"), problem(503, "unavailable")])
def test_a_failure_is_no_verdict(api: ApiClient, server: Service, answer: HttpResponse) -> None:
    server.override = answer
    with pytest.raises(ServerRefusedError):
        api.check("acme", "secret")


@pytest.mark.parametrize("answer", [HttpResponse(200, {}, b"{}"), HttpResponse(200, {}, b'{"accepted": 1}')])
def test_an_answer_without_a_verdict_is_none(api: ApiClient, server: Service, answer: HttpResponse) -> None:
    server.override = answer
    with pytest.raises(UnreachableError):
        api.check("acme", "secret")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"accepted": true}', b'{"error": "unauthorized_request"}', b"<html>"])
def test_a_401_that_is_not_the_checks_own_is_no_verdict(api: ApiClient, server: Service, body: bytes) -> None:
    server.override = HttpResponse(401, {}, body)
    with pytest.raises((ServerRefusedError, UnreachableError)):
        api.check("acme", "secret")
