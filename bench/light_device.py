"""A device without a home or a network: a key, its state of one group, and a reader of the group's stored log."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from keyturn import mls
from keyturn.device.core.signed_events import (
    EventSigner,
    RotationRequest,
    ack_event,
    envelope_event,
    key_package_event,
    mls_payload,
    rotation_event,
)
from keyturn.domain.encodings import base64url_decode, ulid
from keyturn.domain.key_packages import KEY_PACKAGE_LIFETIME
from keyturn.ports.store import Query, scan
from keyturn.proofs.nostr import parse_event
from keyturn.proofs.receipts import AckStatement
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.store import Data


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass
class LightDevice:
    """A person's device in one group. `opened_rotations` has the rotation of each opened notice, in order."""

    group_id: str
    signer: EventSigner = field(default_factory=lambda: EventSigner(os.urandom(32), utc_now, os.urandom), repr=False)
    group: mls.Group | None = field(default=None, repr=False)
    cursor: int = 0
    opened_rotations: list[str] = field(default_factory=list)
    notices: dict[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The content of each opened notice, by rotation."""

    def join(self, suite: Suite, user: str) -> None:
        """Enrol by an invite of this suite."""
        code = cast("str", suite.operator.invites(user, self.group_id)["code"])
        now, seed = utc_now(), os.urandom(32)
        identity = bytes.fromhex(self.signer.public_key)
        offered = mls.create_key_package(
            identity, seed, not_before=now, not_after=now + KEY_PACKAGE_LIFETIME, random=os.urandom
        )
        answer = suite.enrolment.join(code, key_package_event(self.signer, offered.key_package).to_dict())
        welcome = parse_event(cast("str", answer["event"]))
        self.group = mls.Group.join(base64url_decode(welcome.content), offered, now=now)
        self.cursor = int(welcome.tag("after") or 0)

    def request(self, client_id: str, grace_milliseconds: int = 0, *, supersede: bool = False) -> tuple[str, bytes]:
        """Return a new rotation's id, and the signed event that asks for it."""
        rotation_id = ulid(utc_now(), os.urandom(10))
        rotation_request = RotationRequest(
            client_id=client_id,
            rotation_id=rotation_id,
            reason="because it is time",
            group=self.group_id,
            grace_milliseconds=grace_milliseconds,
            supersede=supersede,
        )
        return rotation_id, rotation_event(self.signer, rotation_request).to_json().encode()

    def catch_up(self, suite: Suite) -> None:
        """Read the log to its end. Raises the `MlsError` of a message that does not open."""
        query = Query(paths.messages(self.group_id), order_by="index", at_least=self.cursor + 1)
        for document in scan(suite.databases.control, query):
            data = cast("Data", document.data)
            if data["index"] != self.cursor + 1:  # the emulator can show a part of a commit: read again later
                return
            self._read(base64url_decode(parse_event(cast("str", data["event"])).content))
            self.cursor = cast("int", data["index"])

    def _read(self, message: bytes) -> None:
        group = cast("mls.Group", self.group)
        self.group, event = group.receive(message, now=utc_now())
        if isinstance(event, mls.ApplicationReceived):
            notice = json.loads(event.plaintext)
            self.opened_rotations.append(notice["rotation_id"])
            self.notices[notice["rotation_id"]] = notice

    def acknowledgement(self, rotation_id: str, *, in_envelope: bool) -> bytes:
        """Return the event that acknowledges an opened notice, signed, or inside an MLS message."""
        notice = self.notices[rotation_id]
        statement = AckStatement(
            rotation_id=rotation_id,
            client_id=notice["client_id"],
            version_id=notice["version_id"],
            ack_by=self.signer.public_key,
            ack_at=int(utc_now().timestamp() * 1000),
            secret_hash=notice["secret_hash"],
            mac_key_ref=notice["mac_key_ref"],
        )
        event = ack_event(self.signer, statement, notice["secret"])
        if in_envelope:
            group = cast("mls.Group", self.group)
            self.group, message = group.encrypt(mls_payload(event), random=os.urandom)
            event = envelope_event(self.signer, self.group_id, message)
        return event.to_json().encode()


def agree(devices: Sequence[LightDevice]) -> bool:
    """Return whether all are in the same epoch, down to its secrets (RFC 9420 §8.7)."""
    groups = [cast("mls.Group", device.group) for device in devices]
    return len({(group.epoch, group.epoch_authenticator) for group in groups}) == 1
