"""Joining a group: with an invite's code, or again with a fresh key package.

Each key package is used once (RFC 9420 §10). The device keeps it until the membership is saved. So an interrupted
enrolment continues with the same key package, and gets the same answer (docs/http.md, `enrol`).
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.core.errors import AnotherServiceError
from keyturn.device.core.signed_events import WELCOME, key_package_event
from keyturn.device.groups.membership import (
    DeviceMembership,
    Memberships,
    changes_of,
    open_group_event,
    untrusted_message,
)
from keyturn.domain.encodings import identifier, to_milliseconds
from keyturn.domain.errors import Refusal
from keyturn.domain.key_packages import KEY_PACKAGE_LIFETIME, LEAST_REMAINING_LIFETIME
from keyturn.mls import Group, KeyPackageSecrets, LifetimePolicy, MlsError, create_key_package, read_key_package

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.device.context import DeviceContext
    from keyturn.proofs.nostr import Event

_ENROLMENT = "enrolment"
_STILL_USABLE = LifetimePolicy(least_remaining=LEAST_REMAINING_LIFETIME)
_CLOCK_TOLERANCE = timedelta(hours=1)
_SEED_BYTES = 32


class Enrolment:
    """Joins groups. `UntrustedMessageError` or `AnotherServiceError` if a Welcome can't be trusted."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context

    def join(self, code: str) -> DeviceMembership:
        """Enrol with an invite's code. If it is interrupted, call it again with the same code."""
        # The record's id is a hash, so that the home does not contain the code.
        record_id = hashlib.sha256(code.encode("utf-8")).hexdigest()
        return self._join(record_id, lambda event: self._context.api.enrol(code, event))

    def rejoin(self, group_id: str) -> DeviceMembership:
        """Join a group again that knows this device. Its old leaf is removed, and the inbox stays."""
        return self._join(f"again:{group_id}", lambda event: self._context.api.enrol_again(group_id, event))

    def _join(self, record_id: str, present: Callable[[Event], dict[str, object]]) -> DeviceMembership:
        home, signer = self._context.home, self._context.signer
        key_package = self._key_package(record_id)
        answer = present(key_package_event(signer, key_package.key_package))
        membership = join_with_welcome(answer, key_package, signer.now())
        with home.locked():
            self._check_same_service(membership)
            # One change: the private keys of the key package go as soon as the membership is there (RFC 9420 §10).
            home.save_all({**changes_of(membership), (_ENROLMENT, record_id): None})
        return membership

    def _key_package(self, record_id: str) -> KeyPackageSecrets:
        home = self._context.home
        with home.locked():
            record = home.load(_ENROLMENT, record_id)
            stored = None if record is None else KeyPackageSecrets.from_bytes(record)
            if stored is not None and self._is_valid(stored):
                return stored
            fresh = self._fresh_key_package()
            home.save(_ENROLMENT, record_id, fresh.to_bytes())
        return fresh

    def _is_valid(self, key_package: KeyPackageSecrets) -> bool:
        try:
            read_key_package(key_package.key_package, now=self._context.signer.now(), lifetimes=_STILL_USABLE)
        except MlsError:  # it has expired or soon will, so the service would refuse it
            return False
        return True

    def _fresh_key_package(self) -> KeyPackageSecrets:
        signer = self._context.signer
        now = signer.now()
        return create_key_package(
            bytes.fromhex(signer.public_key),
            signer.random(_SEED_BYTES),
            not_before=now - _CLOCK_TOLERANCE,  # the server's clock may be behind this one
            not_after=now + KEY_PACKAGE_LIFETIME,
            random=signer.random,
        )

    def _check_same_service(self, membership: DeviceMembership) -> None:
        memberships = Memberships(self._context.home)
        group_id = membership.group_id
        if memberships.is_known(group_id) and memberships.load(group_id).service != membership.service:
            raise AnotherServiceError(
                "This device knows a group of that name, under the key of another service.",
                "Use another home for another service: --home.",
            )


def join_with_welcome(answer: Mapping[str, object], key_package: KeyPackageSecrets, now: datetime) -> DeviceMembership:
    """Return the membership that an answer of `enrol` offers.

    `UntrustedMessageError` if its Welcome is not for this key package and group; `AnotherServiceError` if the signer
    of the Welcome is not a member.
    """
    group_id = _group_id(response_fields.text(answer, "group"))
    signer, tags, message = open_group_event(response_fields.mapping(answer, "event"), WELCOME, group_id)
    try:
        group = Group.join(message, key_package, now=now)
    except MlsError:
        raise untrusted_message() from None
    if group.group_id != group_id.encode("utf-8"):
        raise untrusted_message()
    # From now on this key is the service's: only it may send notices and change the members.
    if signer not in {member.identity.hex() for member in group.members}:
        raise AnotherServiceError(
            "The signer of the Welcome is not a member of the group.", "Check --url, and ask for a new invite."
        )
    user, cursor = response_fields.text(answer, "user"), _index(tags.get("after"))
    return DeviceMembership(group_id, user, signer, cursor, group, to_milliseconds(now))


def _group_id(text: str) -> str:
    try:
        return identifier(text)  # the device will put it into URLs
    except Refusal:
        raise untrusted_message() from None


def _index(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        raise untrusted_message()
    return int(value)
