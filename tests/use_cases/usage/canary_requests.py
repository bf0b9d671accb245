"""Requests of an integrator's instances about canaries, and a rotation that waits for them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode
from keyturn.proofs.canaries import Canary
from keyturn.proofs.receipts import _signer

from tests.world import CLIENT, QUICK

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.world import World


URL = "/client_token/canary"


def post(world: World, path: str, fields: object) -> TestResponse:
    return world.call("POST", path, json.dumps(fields).encode())


def nonce(world: World, client_id: str = CLIENT) -> str:
    answer = post(world, f"{URL}/challenge", {"client_id": client_id})
    assert answer.status_code == 200, answer.text
    return str(answer.json["nonce"])  # type: ignore[index]  # an object


def answered(world: World, secret: str, canary: Canary, **changes: object) -> TestResponse:
    """Answer as an instance does; `changes` are what it presents besides what it signed."""
    signer = _signer(secret, canary.client_id, canary.version_id, canary.rotation_id)
    fields = {name: getattr(canary, name) for name in Canary.__slots__}
    return post(world, URL, {**fields, "signature": base64url_encode(signer.sign(canary.signed_bytes())), **changes})


def begun(world: World, canaries: int = 2) -> tuple[str, str, str]:
    """Issue a first secret, then request and distribute a second one; its rotation, version and secret."""
    world.serve(replace(QUICK, canaries=0))
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.serve(replace(QUICK, canaries=canaries))
    world.sweep()
    answer = world.send(world.admins["alice"].rotation()).json or {}
    world.pump()
    return str(answer["rotation_id"]), str(answer["version_id"]), world.admins["alice"].secret(answer["rotation_id"])
