"""Refused requests at every function: the error of docs/protocol.md §11, nothing stored, nothing echoed."""

# ruff: noqa: E501 - a table is read by its rows, one a case
from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.functions.scene import BODY_LIMIT, FRESH_CLIENT, OTHER_CLIENT, OTHER_GROUP, Request, Scene
from tests.world import CLIENT, GROUP, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD, LARGE, METHOD = (400, "invalid_request"), (413, "invalid_request"), (405, "invalid_request")
WHO, NOT = (401, "unauthorized_request"), (403, "unauthorized_request")
MISSING, CONFLICT, POLICY = (404, "not_found"), (409, "conflict"), (422, "policy_violation")
ULID = "01J0000000000000000000000Z"
DAY_MS = 86_400_000
LONG = "x" * 4097
NPUB = "ab" * 32

CASES: dict[str, tuple[Callable[[Scene], Request], tuple[int, str], str]] = {
    # --- bodies
    "empty body": (lambda s: s.post(b""), BAD, "malformed_json"),
    "no JSON": (lambda s: s.post(b"{created_at: verymalformed}"), BAD, "malformed_json"),
    "JSON cut short": (lambda s: s.post(b'{"id": "truncated-value"'), BAD, "malformed_json"),
    "a JSON list": (lambda s: s.post(b'["only-a-list-here"]'), BAD, "malformed_json"),
    "a name twice": (lambda s: s.post(b'{"id": "first-of-them", "id": "second-of-them"}'), BAD, "malformed_json"),
    "NaN": (lambda s: s.post(b'{"created_at": NaN}'), BAD, "malformed_json"),
    "not UTF-8": (lambda s: s.post(b'{"id": "\xff\xfe"}'), BAD, "malformed_json"),
    "half a surrogate pair": (lambda s: s.post(b'{"id": "\\ud800"}'), BAD, "malformed_json"),
    "nesting without end": (lambda s: s.post(b'{"a":' * 20_000), BAD, "malformed_json"),
    "one byte too many": (lambda s: s.post(b" " * (BODY_LIMIT + 1)), LARGE, "too_large"),
    "11 MiB": (lambda s: s.post(b" " * (11 << 20)), LARGE, "too_large"),
    # --- events
    "no signature": (lambda s: s.raw(sig=None), BAD, "malformed_event"),
    "an upper-case id": (lambda s: s.raw(id="AB" * 32), BAD, "malformed_event"),
    "a short pubkey": (lambda s: s.raw(pubkey="ab" * 31), BAD, "malformed_event"),
    "created_at is true": (lambda s: s.raw(created_at=True), BAD, "malformed_event"),
    "created_at is a float": (lambda s: s.raw(created_at=1772366400.5), BAD, "malformed_event"),
    "a negative kind": (lambda s: s.raw(kind=-1), BAD, "malformed_event"),
    "tags of numbers": (lambda s: s.raw(tags=[[1, 2]]), BAD, "malformed_event"),
    "content is an object": (lambda s: s.raw(content={"client_id": CLIENT}), BAD, "malformed_event"),
    "another id": (lambda s: s.raw(id="ab" * 32), WHO, "wrong_event_id"),
    "changed after signing": (lambda s: s.raw(content="changed-afterwards"), WHO, "wrong_event_id"),
    "another signature": (lambda s: s.raw(sig="ab" * 64), WHO, "bad_signature"),
    "an unknown kind": (lambda s: s.rotation(kind=1), BAD, "unknown_kind"),
    "a kind of Welcomes": (lambda s: s.rotation(kind=444), BAD, "unknown_kind"),
    "two minutes old": (lambda s: s.rotation(at=-121), BAD, "stale_event"),
    "two minutes early": (lambda s: s.rotation(at=121), BAD, "stale_event"),
    "content is no JSON": (lambda s: s.rotation(content="not-json-at-all"), BAD, "malformed_json"),
    "content is a list": (lambda s: s.rotation(content='["a-list-of-one"]'), BAD, "malformed_json"),
    "content names twice": (lambda s: s.rotation(content='{"client_id": 1, "client_id": 2}'), BAD, "malformed_json"),
    # --- tags and content
    "another client in the tag": (lambda s: s.rotation(tags={"client": OTHER_CLIENT}), BAD, "tags_disagree"),
    "another group in the tag": (lambda s: s.rotation(tags={"mls": OTHER_GROUP}), BAD, "tags_disagree"),
    "another rotation in the tag": (lambda s: s.rotation(tags={"rotation": ULID}), BAD, "tags_disagree"),
    "another reason in the tag": (lambda s: s.rotation(tags={"reason": "another-reason"}), BAD, "tags_disagree"),
    "another version of NIP-KR": (lambda s: s.rotation(tags={"nip-kr": "0.2.0-of-later"}), BAD, "tags_disagree"),
    "no client tag": (lambda s: s.rotation(tags={"client": None}), BAD, "tags_disagree"),
    "no protocol tag": (lambda s: s.rotation(tags={"nip-kr": None}), BAD, "tags_disagree"),
    "two client tags": (lambda s: s.rotation(more_tags=(("client", OTHER_CLIENT),)), BAD, "tags_disagree"),
    "a client tag without value": (lambda s: s.rotation(tags={"client": None}, more_tags=(("client",),)), BAD, "tags_disagree"),
    # --- who
    "an unknown client": (lambda s: s.rotation(both={"client_id": "nobody-knows-this"}), MISSING, "unknown_client"),
    "the audit chain as a client": (lambda s: s.rotation(both={"client_id": "_system"}), BAD, "bad_identifier"),
    "a client of another group": (lambda s: s.rotation(both={"client_id": OTHER_CLIENT}), NOT, "not_authorised"),
    "an admin of another group": (lambda s: s.rotation(by="dave"), NOT, "not_authorised"),
    "a stranger": (lambda s: s.rotation(by="stranger"), NOT, "not_authorised"),
    "in the name of another group": (lambda s: s.rotation(both={"mls_group": OTHER_GROUP}), NOT, "not_in_group"),
    # --- fields of a request
    "a lower-case rotation id": (lambda s: s.rotation(both={"rotation_id": ULID.lower()}), BAD, "bad_rotation_id"),
    "a path as rotation id": (lambda s: s.rotation(both={"rotation_id": "../oauth2_clients"}), BAD, "bad_rotation_id"),
    "no rotation id": (lambda s: s.rotation(content={"rotation_id": ...}), BAD, "bad_field"),
    "a path as client id": (lambda s: s.rotation(both={"client_id": "acme/secrets/one"}), BAD, "bad_identifier"),
    "an endless client id": (lambda s: s.rotation(both={"client_id": "a" * 129}), BAD, "bad_identifier"),
    "a client id with a newline": (lambda s: s.rotation(both={"client_id": "acme-integrations\n"}), BAD, "bad_identifier"),
    "a client id of another type": (lambda s: s.rotation(content={"client_id": 123456789012345}), BAD, "bad_field"),
    "an endless reason": (lambda s: s.rotation(both={"rotation_reason": LONG}), BAD, "bad_field"),
    "not_before is text": (lambda s: s.rotation(content={"not_before": "tomorrow-at-noon"}), BAD, "bad_field"),
    "not_before is true": (lambda s: s.rotation(content={"not_before": True}), BAD, "bad_field"),
    "not_before before 1970": (lambda s: s.rotation(content={"not_before": -1}), BAD, "time_out_of_range"),
    "not_before after 9999": (lambda s: s.rotation(content={"not_before": 1 << 52}), BAD, "time_out_of_range"),
    "not_before of 64 bits": (lambda s: s.rotation(content={"not_before": 1 << 63}), BAD, "not_canonical"),
    "not_before an hour ago": (lambda s: s.rotation(content={"not_before": s.world.milliseconds(hours=-1)}), POLICY, "not_before_too_early"),
    "not_before in 91 days": (lambda s: s.rotation(content={"not_before": s.world.milliseconds(days=91)}), POLICY, "not_before_too_late"),
    "a negative grace": (lambda s: s.rotation(content={"grace_duration_ms": -1}), POLICY, "grace_out_of_bounds"),
    "a grace of 31 days": (lambda s: s.rotation(content={"grace_duration_ms": 31 * DAY_MS}), POLICY, "grace_out_of_bounds"),
    "a grace of 2^53 - 1": (lambda s: s.rotation(content={"grace_duration_ms": (1 << 53) - 1}), POLICY, "grace_out_of_bounds"),
    "a grace in fractions": (lambda s: s.rotation(content={"grace_duration_ms": 1500.25}), BAD, "not_canonical"),
    "a grace as an object": (lambda s: s.rotation(content={"grace_duration_ms": {"hours": 1}}), BAD, "bad_field"),
    "supersede is text": (lambda s: s.rotation(content={"supersede": "certainly-yes"}), BAD, "bad_field"),
    "a proof of another type": (lambda s: s.rotation(content={"jwt_proof": ["proof-in-a-list"]}), BAD, "bad_field"),
    # --- state
    "another rotation is active": (lambda s: s.rotation(both={"client_id": CLIENT}), CONFLICT, "rotation_active"),
    "a rotation id that is taken": (lambda s: s.rotation(both={"client_id": CLIENT, "rotation_id": s.open_rotation, "rotation_reason": "another-reason"}), CONFLICT, "rotation_id_taken"),
    "the rotation id of another client": (lambda s: s.rotation(both={"rotation_id": s.other_rotation}), CONFLICT, "rotation_id_taken"),
    # --- NIP-SERVICE
    "an unknown action": (lambda s: s.action("self-destruct"), BAD, "unknown_action"),
    "an ack as a request": (lambda s: s.action("ack"), BAD, "unknown_action"),
    "another action in the tag": (lambda s: s.action("suspend", tags={"service": "resume-something"}), BAD, "tags_disagree"),
    "another action id in the tag": (lambda s: s.action("suspend", tags={"action": ULID}), BAD, "tags_disagree"),
    "no group tag": (lambda s: s.action("suspend", tags={"mls": None}), BAD, "tags_disagree"),
    "another profile in the tag": (lambda s: s.action("suspend", tags={"profile": "nip-kr/9.9.9"}), BAD, "tags_disagree"),
    "another profile in the content": (lambda s: s.action("suspend", content={"profile": "nip-kr/9.9.9"}), BAD, "tags_disagree"),
    "another NIP-SERVICE": (lambda s: s.action("suspend", tags={"nip-service": "9.9.9-of-later"}), BAD, "tags_disagree"),
    "no params": (lambda s: s.action("suspend", content={"params": ...}), BAD, "bad_field"),
    "params are a list": (lambda s: s.action("suspend", content={"params": ["suspend-it"]}), BAD, "bad_field"),
    "suspended by a stranger": (lambda s: s.action("suspend", by="stranger"), NOT, "not_authorised"),
    "suspended by another group": (lambda s: s.action("suspend", by="dave"), NOT, "not_authorised"),
    "an action id that is no rotation id": (lambda s: s.action("rotation", event={"action_id": "not-a-rotation-id"}), BAD, "bad_rotation_id"),
    "another rotation in the params": (lambda s: s.action("emergency", {"rotation_id": ULID}), BAD, "tags_disagree"),
    "another group in the params": (lambda s: s.action("emergency", {"mls_group": OTHER_GROUP}), BAD, "tags_disagree"),
    "another client in the params": (lambda s: s.action("emergency", {"client_id": OTHER_CLIENT}), BAD, "tags_disagree"),
    "cancel without an id": (lambda s: s.action("cancel"), BAD, "bad_field"),
    "cancel a malformed id": (lambda s: s.action("cancel", {"rotation_id": "the-last-one-please"}), BAD, "bad_rotation_id"),
    "cancel what is not open": (lambda s: s.action("cancel", {"rotation_id": ULID}), CONFLICT, "rotation_not_open"),
    "cancel another client's": (lambda s: s.action("cancel", {"rotation_id": s.other_rotation}), CONFLICT, "rotation_not_open"),
    "roll back during a rotation": (lambda s: s.action("rollback"), CONFLICT, "rotation_active"),
    "roll back with nothing in grace": (lambda s: s.action("rollback", event={"client_id": FRESH_CLIENT}), CONFLICT, "nothing_in_grace"),
    "roll back, compromised: text": (lambda s: s.action("rollback", {"compromised": "somewhat-maybe"}), BAD, "bad_field"),
    "restore what was not rolled back": (lambda s: s.action("restore", event={"client_id": FRESH_CLIENT}), CONFLICT, "not_rolled_back"),
    "retire what is not in grace": (lambda s: s.action("retire", {"version_id": s.current_version}), CONFLICT, "not_in_grace"),
    "retire a malformed version": (lambda s: s.action("retire", {"version_id": "the-oldest-version"}), BAD, "bad_version_id"),
    "revoke what is not there": (lambda s: s.action("revoke", {"version_id": ULID}), CONFLICT, "version_not_live"),
    "revoke the last live version": (lambda s: s.action("revoke", {"version_id": s.current_version}), CONFLICT, "last_live_version"),
    "revoke by force: a number": (lambda s: s.action("revoke", {"version_id": s.current_version, "force": 1}), BAD, "bad_field"),
    "resume what is active": (lambda s: s.action("resume"), CONFLICT, "not_suspended"),
    # --- acknowledgements
    "ack of no rotation": (lambda s: s.ack(both={"rotation_id": ULID}), MISSING, "unknown_rotation"),
    "ack of another client's rotation": (lambda s: s.ack(both={"rotation_id": s.other_rotation}), MISSING, "unknown_rotation"),
    "ack for another version in the tag": (lambda s: s.ack(tags={"version": ULID}), BAD, "tags_disagree"),
    "ack of a malformed version": (lambda s: s.ack(content={"version_id": "version-seven"}, tags={"version": "version-seven"}), BAD, "bad_version_id"),
    "ack of another version": (lambda s: s.ack(content={"version_id": ULID}, tags={"version": ULID}), CONFLICT, "ack_mismatch"),
    "ack of another hash": (lambda s: s.ack(content={"secret_hash": "A" * 43}), CONFLICT, "ack_mismatch"),
    "ack with a padded hash": (lambda s: s.ack(content={"secret_hash": "A" * 43 + "="}), BAD, "not_base64url"),
    "ack with trailing bits": (lambda s: s.ack(content={"secret_hash": "A" * 42 + "B"}), BAD, "not_base64url"),
    "ack of another key": (lambda s: s.ack(content={"mac_key_ref": "local/mac/9-elsewhere"}), CONFLICT, "ack_mismatch"),
    "ack in somebody else's name": (lambda s: s.ack(content={"ack_by": NPUB}), BAD, "tags_disagree"),
    "ack at a time that is text": (lambda s: s.ack(content={"ack_at": "half past twelve"}), BAD, "bad_field"),
    "ack before 1970": (lambda s: s.ack(content={"ack_at": -1}), BAD, "time_out_of_range"),
    "ack with another receipt": (lambda s: s.ack(content={"receipt": "A" * 86}), NOT, "bad_receipt"),
    "ack with a padded receipt": (lambda s: s.ack(content={"receipt": "A" * 86 + "=="}), BAD, "not_base64url"),
    "ack with base64": (lambda s: s.ack(content={"receipt": "+/" * 43}), BAD, "not_base64url"),
    "ack without a receipt": (lambda s: s.ack(content={"receipt": ...}), NOT, "bad_receipt"),
    "ack whose time was changed": (lambda s: s.ack(content={"ack_at": s.world.milliseconds(seconds=-1)}), NOT, "bad_receipt"),
    "ack two minutes old": (lambda s: s.ack(at=-121), BAD, "stale_event"),
    "ack of a suspension": (lambda s: s.post(s.service_ack(action_type="suspend")), BAD, "unknown_action"),
    "service ack without a result": (lambda s: s.post(s.service_ack(result=None)), BAD, "bad_field"),
    # --- enrol
    "enrol without a code": (lambda s: s.enrol_body(code=None), BAD, "bad_field"),
    "enrol with a number as code": (lambda s: s.enrol_body(code=1234567890123), BAD, "bad_field"),
    "enrol without an event": (lambda s: s.enrol_body(event=None), BAD, "bad_field"),
    "enrol with a malformed event": (lambda s: s.enrol_body(event={"id": "malformed-event"}), BAD, "malformed_event"),
    "enrol with another kind": (lambda s: s.enrol(kind=444), BAD, "unknown_kind"),
    "enrol by an unknown code": (lambda s: s.enrol("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), NOT, "bad_invite"),
    "enrol by a used code": (lambda s: s.enrol(s.used_invite), CONFLICT, "invite_used"),
    "enrol in somebody else's name": (lambda s: s.enrol(signed_by=b"\x07" * 32), NOT, "wrong_identity"),
    "enrol with a padded key package": (lambda s: s.enrol(content="AAAA="), BAD, "not_base64url"),
    "enrol with no key package": (lambda s: s.enrol(content="AAAAAAAAAAAAAAAA"), BAD, "bad_key_package"),
    "enrol two minutes late": (lambda s: s.enrol(at=-121), BAD, "stale_event"),
    "enrol for another group": (lambda s: s.enrol(tags=[["h", OTHER_GROUP]]), BAD, "tags_disagree"),
    "enrol for two groups": (lambda s: s.enrol(tags=[["h", GROUP], ["h", OTHER_GROUP]]), BAD, "tags_disagree"),
    "enrol a member again": (lambda s: s.enrol(key=s.signer("alice").private_key), CONFLICT, "already_member"),
    "enrol by GET": (lambda _s: Request("GET", "/enrol/"), METHOD, "bad_method"),
    # --- operator
    "operator without a token": (lambda _s: Request("GET", "/operator/clients"), WHO, "operator_token"),
    "operator with another token": (lambda s: s.operator("/clients", token="another-token-entirely"), WHO, "operator_token"),
    "operator at no path": (lambda s: s.operator("/secrets-of-everybody"), MISSING, "unknown_path"),
    "operator with another method": (lambda s: s.operator("/clients", method="DELETE"), METHOD, "bad_method"),
    "a client that there is": (lambda s: s.client(client_id=CLIENT), CONFLICT, "client_exists"),
    "a client with a bad id": (lambda s: s.client(client_id="two words, one comma"), BAD, "bad_identifier"),
    "a client of an unknown kind": (lambda s: s.client(kind="carrier-pigeons"), BAD, "unknown_kind"),
    "a client of no group": (lambda s: s.client(groups=[]), BAD, "bad_field"),
    "a client of too many groups": (lambda s: s.client(groups=[f"group-{n}" for n in range(21)]), BAD, "bad_groups"),
    "a client of an unknown group": (lambda s: s.client(groups=[GROUP, "group-of-nobody"]), MISSING, "unknown_group"),
    "a client of groups in text": (lambda s: s.client(groups="operations-team"), BAD, "bad_field"),
    "a client of groups in numbers": (lambda s: s.client(groups=[1]), BAD, "bad_field"),
    "a client of a group twice": (lambda s: s.client(groups=[GROUP, GROUP]), BAD, "bad_field"),
    "an unknown policy": (lambda s: s.client(policy={"max_stale_seconds": 1}), POLICY, "unknown_policy"),
    "a policy of another type": (lambda s: s.client(policy={"quorum": "all-of-them-please"}), POLICY, "policy_type"),
    "a policy out of bounds": (lambda s: s.client(policy={"quorum": 0}), POLICY, "policy_out_of_bounds"),
    "a policy that is a list": (lambda s: s.client(policy=["quorum"]), BAD, "bad_field"),
    "show an unknown client": (lambda s: s.operator("/clients/nobody-knows-this"), MISSING, "unknown_client"),
    "show the audit chain": (lambda s: s.operator("/clients/_system"), BAD, "bad_identifier"),
    "list after no id": (lambda s: s.operator("/clients?after=a/b/c"), BAD, "bad_identifier"),
    "list after the audit chain": (lambda s: s.operator("/clients?after=_system"), BAD, "bad_identifier"),
    "list after an unknown client": (lambda s: s.operator("/clients?after=nobody-knows-this"), MISSING, "unknown_client"),
    "a group that there is": (lambda s: s.operator("/groups", {"group_id": GROUP}), CONFLICT, "group_exists"),
    "a group with a bad id": (lambda s: s.operator("/groups", {"group_id": "a+group+of+all"}), BAD, "bad_identifier"),
    "show an unknown group": (lambda s: s.operator("/groups/group-of-nobody"), MISSING, "unknown_group"),
    "invite to an unknown group": (lambda s: s.operator("/invites", {"user": "erin", "group_id": "group-of-nobody"}), MISSING, "unknown_group"),
    "invite a bad user": (lambda s: s.operator("/invites", {"user": "erin and friends", "group_id": GROUP}), BAD, "bad_identifier"),
    "invite nobody": (lambda s: s.operator("/invites", {"group_id": GROUP}), BAD, "bad_field"),
    # --- status
    "status unsigned": (lambda _s: Request("GET", f"/status/clients/{CLIENT}"), WHO, "not_signed"),
    "status with a bearer token": (lambda _s: Request("GET", f"/status/clients/{CLIENT}", b"", {"Authorization": "Bearer token-of-mine"}), BAD, "malformed_authorization"),
    "status signed for another path": (lambda s: s.status(f"/clients/{CLIENT}", signed=f"/clients/{FRESH_CLIENT}"), WHO, "wrong_url"),
    "status signed without its query": (lambda s: s.status(f"/groups/{GROUP}/messages?after=3", signed=f"/groups/{GROUP}/messages"), WHO, "wrong_url"),
    "status signed for another method": (lambda s: s.status(f"/clients/{CLIENT}", method="POST"), WHO, "wrong_method"),
    "status signed a minute ago": (lambda s: s.status(f"/clients/{CLIENT}", at=-61), WHO, "wrong_time"),
    "status signed a minute ahead": (lambda s: s.status(f"/clients/{CLIENT}", at=61), WHO, "wrong_time"),
    "a client of others": (lambda s: s.status(f"/clients/{CLIENT}", "dave"), MISSING, "unknown_client"),
    "a client of nobody": (lambda s: s.status("/clients/nobody-knows-this"), MISSING, "unknown_client"),
    "a rotation of others": (lambda s: s.status(f"/rotations/{s.open_rotation}", "dave"), MISSING, "unknown_rotation"),
    "a rotation for a stranger": (lambda s: s.status(f"/rotations/{s.open_rotation}", "stranger"), MISSING, "unknown_rotation"),
    "a rotation of nobody": (lambda s: s.status(f"/rotations/{ULID}"), MISSING, "unknown_rotation"),
    "a malformed rotation": (lambda s: s.status("/rotations/the-last-rotation"), BAD, "bad_rotation_id"),
    "the log of others": (lambda s: s.status(f"/groups/{GROUP}/messages", "dave"), NOT, "not_in_group"),
    "the log of nobody": (lambda s: s.status("/groups/group-of-nobody/messages"), NOT, "not_in_group"),
    "a log after a word": (lambda s: s.status(f"/groups/{GROUP}/messages?after=yesterday-noon"), BAD, "bad_message_id"),
    "a log after two places": (lambda s: s.status(f"/groups/{GROUP}/messages?after=0&after=5"), BAD, "repeated_parameter"),
    "a list after two clients": (lambda s: s.operator("/clients?after=a&after=b"), BAD, "repeated_parameter"),
    "a path with a line's end": (lambda s: s.operator("/groups/a%0Ab"), MISSING, "unknown_path"),
    "a log after minus one": (lambda s: s.status(f"/groups/{GROUP}/messages?after=-1"), BAD, "bad_message_id"),
    "a log after 13 digits": (lambda s: s.status(f"/groups/{GROUP}/messages?after=1234567890123"), BAD, "bad_message_id"),
    "a Welcome of others": (lambda s: s.status(f"/welcomes/{s.welcome_of('bob')}"), MISSING, "unknown_welcome"),
    "a Welcome of nobody": (lambda s: s.status(f"/welcomes/{'A' * 43}"), MISSING, "unknown_welcome"),
    "a malformed Welcome": (lambda s: s.status(f"/welcomes/{'A' * 43}="), BAD, "not_base64url"),
    # --- what only the suite itself calls
    "delivery without the token": (lambda _s: Request("POST", "/distribute/", b"{}"), WHO, "operator_token"),
    "a sweep without the token": (lambda _s: Request("POST", "/grace_sweeper/", b"{}"), WHO, "operator_token"),
    "an unknown function": (lambda _s: Request("POST", "/admin_of_everything/"), MISSING, "unknown_door"),
    "an unknown path of a function": (lambda _s: Request("GET", "/client_token/tokens-of-others"), MISSING, "unknown_path"),
}  # fmt: skip

DROPPED: dict[str, tuple[Callable[[Scene], Request], str]] = {
    "no CloudEvent": (lambda s: s.event("on_secret_version", specversion=""), "bad_event"),
    "an event of no document": (lambda s: s.event("on_secret_version"), "bad_event"),
    "an event of another document": (lambda s: s.event("on_secret_version", document=f"oauth2_rotations/{ULID}"), "bad_event"),
    "an event with empty ids": (lambda s: s.event("on_secret_version", document="oauth2_clients//secrets/"), "bad_identifier"),
    "a message without an envelope": (lambda s: s.event("distribute"), "bad_field"),
    "a message that is no JSON": (lambda s: s.event("distribute", b"no-json-at-all"), "malformed_json"),
    "a message over 256 KiB": (lambda s: s.event("distribute", b"x" * 262145), "too_large"),
    "a message without ids": (lambda s: s.message(), "bad_field"),
    "a message about a path": (lambda s: s.message(client_id=f"{CLIENT}/secrets/{s.current_version}", rotation_id=ULID), "bad_identifier"),
    "a message about a bad rotation": (lambda s: s.message(client_id=CLIENT, rotation_id="rotation-of-mine"), "bad_rotation_id"),
    "a message about no client": (lambda s: s.message(client_id="nobody-knows-this", rotation_id=ULID), "unknown_client"),
}  # fmt: skip
"""Deliveries that would fail every time: answered with 200, so that they are not repeated, and logged."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(tmp_path_factory.mktemp("world")) as world:
        yield Scene(world)


@pytest.mark.parametrize("name", CASES)
def test_a_bad_request_gets_its_error_and_changes_and_echoes_nothing(scene: Scene, name: str) -> None:
    make, (status, error), reason = CASES[name]
    request = make(scene)
    before = scene.world.dump()

    answer = scene.world.call(request.method, request.path, request.body, request.headers)

    problem = json.loads(answer.text)
    assert (answer.status_code, problem["error"], problem["reason"]) == (status, error, reason)
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert scene.world.dump() == before
    heard = answer.text + str(answer.headers)
    assert not [word for word in presented(request) if word in heard]


@pytest.mark.parametrize("name", DROPPED)
def test_a_bad_delivery_is_dropped_logged_and_changes_nothing(
    scene: Scene, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, reason = DROPPED[name]
    request = make(scene)
    before = scene.world.dump()

    answer = scene.world.call(request.method, request.path, request.body, request.headers)

    assert (answer.status_code, answer.json) == (200, {"dropped": reason})
    assert scene.world.dump() == before
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("ERROR", f"an event was dropped: {reason}")
    ]


def presented(request: Request) -> set[str]:
    """Return the longer values in a request that are no names of ours: no response may contain them."""
    text = request.path + request.body.decode("utf-8", "replace") + "".join(request.headers.values())
    words = set(re.findall(r"[A-Za-z0-9+/=_.~-]{12,}", text)) - {"rotate_request", "grace_sweeper"}
    return words | set(re.findall(r'"([^"\\]{12,})"', text)) - NAMES


NAMES = {"rotation_reason", "grace_duration_ms", "Authorization"}


def test_the_table_is_long_enough_and_the_echo_check_would_notice() -> None:
    assert len(CASES) >= 60
    assert "verymalformed" in presented(Request("POST", "/", b"{created_at: verymalformed}"))
