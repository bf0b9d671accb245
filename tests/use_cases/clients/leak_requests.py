"""Requests about a leaked secret, as its holder makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.encodings import base64url_decode
from keyturn.proofs.receipts import LeakReport, receipt_key, sign_leak_report

if TYPE_CHECKING:
    from tests.world import World


def versions(world: World, query: str) -> list[dict[str, Any]]:
    answer = world.operator(f"/versions?{query}")
    assert answer.status_code == 200, answer.text
    return cast("list[dict[str, Any]]", cast("Any", answer.json)["versions"])


def asked(version: dict[str, Any], secret: str, world: World, **changes: object) -> dict[str, object]:
    """Return the request that the holder of a value makes."""
    fields: dict[str, Any] = {
        "client_id": version["client_id"],
        "version_id": version["version_id"],
        "made_by": version["rotation_id"],
        "replaced_by": world.new_id(),
        "sighted_at": world.milliseconds(),
    }
    signature = sign_leak_report(secret, LeakReport(**fields)) if secret else ""
    fields["rotation_id"] = fields.pop("replaced_by")
    return {**fields, "signature": signature, **changes}


def the_version_of(world: World, secret: str, query: str) -> dict[str, Any]:
    """Compare locally, as the command does."""
    for version in versions(world, query):
        ids = {name: version[name] for name in ("client_id", "version_id", "rotation_id")}
        if version["receipt_key"] and receipt_key(secret, **ids).hex() == _hex(version["receipt_key"]):
            return version
    raise AssertionError("none of them")


def _hex(key: str) -> str:
    return base64url_decode(key).hex()
