"""Taking a seat in a group: with an invite's code, or again with a fresh key package.

Each key package is used once (RFC 9420 §10). It is kept until the seat is saved, so that an enrolment cut short goes on
with the same one and gets the same answer (docs/http.md, `enrol`).
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.core.errors import AnotherServiceError
from keyturn.device.core.signed_events import key_package_event
from keyturn.device.groups.local_store import GROUP
from keyturn.device.groups.membership import take_seat
from keyturn.domain.key_packages import KEY_PACKAGE_LIFETIME, LEAST_REMAINING_LIFETIME
from keyturn.mls import KeyPackageSecrets, LifetimePolicy, MlsError, create_key_package, read_key_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.api.client import Server
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.groups.local_store import Mail
    from keyturn.device.groups.membership import Seat
    from keyturn.device.home.home import Home
    from keyturn.proofs.nostr import Event

_ENROLMENT = "enrolment"
_STILL_USABLE = LifetimePolicy(least_remaining=LEAST_REMAINING_LIFETIME)
_CLOCK_TOLERANCE = timedelta(hours=1)
_SEED_BYTES = 32


class Enrolment:
    """Takes seats; `UntrustedMessageError` or `AnotherServiceError` if a Welcome can't be trusted."""

    def __init__(self, home: Home, server: Server, signer: Signer, mail: Mail) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._mail = mail

    def join(self, code: str) -> Seat:
        """Enrol with an invite's code; cut short, it can be done again with the same code."""
        kept_as = hashlib.sha256(code.encode("utf-8")).hexdigest()  # the code itself is not kept
        return self._take(kept_as, lambda event: self._server.enrol(code, event))

    def again(self, group_id: str) -> Seat:
        """Come back to a group that knows this device; its old leaf goes, the inbox stays."""
        return self._take(f"again:{group_id}", lambda event: self._server.enrol_again(group_id, event))

    def _take(self, kept_as: str, show: Callable[[Event], dict[str, object]]) -> Seat:
        key_package = self._key_package(kept_as)
        answer = show(key_package_event(self._signer, key_package.key_package))
        seat = take_seat(answer, key_package, self._signer.now())
        with self._home.locked():
            self._check_same_service(seat)
            self._home.save_all({(GROUP, seat.group_id): seat.to_bytes(), (_ENROLMENT, kept_as): None})
        return seat

    def _key_package(self, kept_as: str) -> KeyPackageSecrets:
        with self._home.locked():
            record = self._home.load(_ENROLMENT, kept_as)
            kept = None if record is None else KeyPackageSecrets.from_bytes(record)
            if kept is not None and self._is_valid(kept):
                return kept
            fresh = self._fresh_key_package()
            self._home.save(_ENROLMENT, kept_as, fresh.to_bytes())
        return fresh

    def _is_valid(self, kept: KeyPackageSecrets) -> bool:
        try:
            read_key_package(kept.key_package, now=self._signer.now(), lifetimes=_STILL_USABLE)
        except MlsError:  # its time is over: nobody takes it any more
            return False
        return True

    def _fresh_key_package(self) -> KeyPackageSecrets:
        now, random = self._signer.now(), self._signer.random
        return create_key_package(
            bytes.fromhex(self._signer.public_key),
            random(_SEED_BYTES),
            not_before=now - _CLOCK_TOLERANCE,
            not_after=now + KEY_PACKAGE_LIFETIME,
            random=random,
        )

    def _check_same_service(self, seat: Seat) -> None:
        if seat.group_id in self._home.ids(GROUP) and self._mail.seat(seat.group_id).service != seat.service:
            raise AnotherServiceError(
                "A group of that name is known here, under another service's key.",
                "Use another home for another service: --home.",
            )
