"""Imported clients in the store: their documents, and that doctor finds nothing wrong at any stage."""

from __future__ import annotations

from base64 import b64encode
from hashlib import pbkdf2_hmac
from typing import TYPE_CHECKING, Any, cast

import bcrypt
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from keyturn.adapters.mls.message_headers import read_head
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths
from keyturn.use_cases.doctor.run_checks import RunChecks

from tests.world import EACH_STORE, GROUP

if TYPE_CHECKING:
    from tests.world import World

OLD = "the secret of old"
HASH = bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(4)).decode()


def row(**changes: object) -> dict[str, object]:
    return {"client_id": "old", "groups": [GROUP], "secret_hash": HASH, **changes}


def imported(world: World, *rows: object) -> dict[str, Any]:
    answer = world.operator("/imports", {"clients": list(rows)})
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def breaches(world: World) -> list[object]:
    suite = world.suite
    examine = RunChecks(
        suite.databases, suite.settings.policy, suite.groups, suite.keys.mac, read_head, suite.environment
    )
    return [item for item in examine().breaches if item.subject == "client old"]


@EACH_STORE
def test_doctor_knows_an_imported_client_at_every_stage(world: World) -> None:
    world.found("alice", "bob")
    assert imported(world, row())["added"] == ["old"]
    assert breaches(world) == []
    world.clock.advance(minutes=1)
    world.issue("alice", "bob", client_id="old")
    assert breaches(world) == []
    world.clock.advance(hours=2)
    world.sweep()
    assert breaches(world) == []
    entries = [data for path, (_, data) in sorted(world.documents().items()) if path.startswith(paths.audit("old"))]
    if world.kind == "memory":
        assert cast("Any", entries[0])["action"] == "import_client"


def test_the_first_version_is_the_hash_and_nothing_else(world: World) -> None:
    world.found("alice")
    imported(world, row(kind="x_api_key"))
    client = world.document(paths.client("old"))
    version = world.document(paths.version("old", client["current_version"]))
    assert {name: version[name] for name in ("algo", "secret_hash", "mac_key_ref", "receipt_key", "rotation_id")} == {
        "algo": "bcrypt",
        "secret_hash": HASH,
        "mac_key_ref": None,
        "receipt_key": None,
        "rotation_id": "",
    }
    assert (client["kind"], [*client["admin_groups"]], client["last_promoted_at"]) == ("x_api_key", [GROUP], None)
    assert world.document(paths.client_of_group(GROUP, "old")) == {"client_id": "old"}


def test_its_first_rotation_is_no_first_issue(world: World) -> None:
    world.serve(world.policy.overridden({"minimum_not_before_seconds": 600, "minimum_interval_seconds": 3600}))
    world.found("alice", "bob")
    imported(world, row())
    too_early = world.admins["alice"].rotation(client_id="old", not_before=world.milliseconds(minutes=9))
    assert cast("Any", world.send(too_early).json)["reason"] == "not_before_too_early"
    world.clock.advance(minutes=1)
    world.issue("alice", "bob", client_id="old", not_before=world.milliseconds(minutes=11))
    world.clock.advance(minutes=12)
    world.sweep()
    assert world.document(paths.client("old"))["last_promoted_at"] is not None


def test_the_hash_is_shown_nowhere(world: World) -> None:
    world.found("alice")
    imported(world, row())
    for path in ("/clients", "/clients/old", "/versions", "/versions?client_id=old"):
        assert HASH not in world.operator(path).text


@pytest.mark.parametrize(
    ("presented", "reason"),
    [
        (5, "bad_field"),
        ({}, "bad_field"),
        (row(client_id="_system"), "bad_identifier"),
        (row(groups=GROUP), "bad_groups"),
        (row(groups=[]), "bad_groups"),
        (row(groups=[GROUP, 5]), "bad_groups"),
        (row(groups=["x"]), "unknown_group"),
        (row(kind="door-key"), "unknown_kind"),
        (row(secret_hash="$2b$15$" + "a" * 53), "bad_hash"),
        (row(secret_hash=OLD), "bad_hash"),
    ],
)
def test_a_bad_row_holds_up_no_other_and_is_not_echoed(world: World, presented: object, reason: str) -> None:
    world.found("alice")
    done = imported(world, presented, row(client_id="good"))
    assert done == {"added": ["good"], "known": [], "refused": [{"index": 0, "reason": reason}]}


@pytest.mark.parametrize("rows", [None, {}, "x", [{}] * 201])
def test_what_is_no_page_is_refused(world: World, rows: object) -> None:
    world.found("alice")
    assert world.operator("/imports", {"clients": rows}).status_code == 400


def test_what_is_there_stays_as_it_is(world: World) -> None:
    world.found("alice")
    imported(world, row())
    before = world.documents()
    assert imported(world, row())["known"] == ["old"]
    other = [row(kind="x_api_key"), row(secret_hash=bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())]
    assert [item["reason"] for item in imported(world, *other)["refused"]] == ["client_exists"] * 2
    assert world.documents() == before


def test_an_outage_ends_the_page_and_the_next_one_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.found("alice")
    commit, left = world.control.commit, [1]

    def dying(writes: Any, **given: Any) -> Any:  # noqa: ANN401 - the store's own signature
        if not left:
            raise StoreUnavailable
        left.pop()
        return commit(writes, **given)

    monkeypatch.setattr(world.control, "commit", dying)
    rows = [row(client_id=f"old-{number}") for number in range(3)]
    assert world.operator("/imports", {"clients": rows}).status_code == 503
    monkeypatch.undo()
    done = imported(world, *rows)
    assert (done["known"], done["added"]) == (["old-0"], ["old-1", "old-2"])


@pytest.mark.parametrize("algo", ["pbkdf2", "argon2id", "bcrypt"])
def test_a_secret_with_the_hash_of_a_framework_keeps_working(world: World, algo: str) -> None:
    world.found("alice", "bob")
    hashes = {
        "pbkdf2": f"pbkdf2_sha256$1000$salt${b64encode(pbkdf2_hmac('sha256', OLD.encode(), b'salt', 1000)).decode()}",
        "argon2id": "argon2"
        + Argon2id(salt=b"s" * 8, length=32, iterations=1, lanes=1, memory_cost=64).derive_phc_encoded(OLD.encode()),
        "bcrypt": "{bcrypt}" + HASH,
    }
    assert imported(world, row(secret_hash=hashes[algo]))["added"] == ["old"]
    assert imported(world, row(secret_hash=hashes[algo]))["known"] == ["old"]
    version = world.document(paths.client("old"))["live"]["current"]
    assert version["algo"] == algo
    assert world.check(OLD, "old")["accepted"]
    assert not world.check(OLD + "!", "old")["accepted"]
    assert breaches(world) == []
    world.issue("alice", "bob", client_id="old")
    assert world.check(OLD, "old")["state"] == "grace"
