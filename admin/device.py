"""An admin's device: what it keeps in its home, and what it does at the server's doors.

The commands of `keyturn`, the demo and the tests are thin over this one.
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from admin import answers
from admin.clock import utc_now
from admin.errors import AnotherServiceError
from admin.events import Signer, ack_event, key_package_event, rotation_event, service_event
from admin.mail import GROUP, Mail
from admin.plan import RotationPlan, Wish, common_group, make_plan
from admin.seat import Incident, Seat, take_seat
from admin.server import Server
from shared.domain.encodings import identifier, rotation_identifier, ulid
from shared.mls import KeyPackageSecrets, create_key_package

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from admin.home import Home
    from admin.http_client import Transport
    from admin.notice import Notice

_ENROLMENT = "enrolment"
_KEY_PACKAGE_LIFETIME = timedelta(days=90)
_CLOCK_TOLERANCE = timedelta(hours=1)
_SEED_BYTES = 32


def _ignore(_incident: Incident) -> None:
    """Observe nothing."""


class Device:
    """A device with an opened home, in front of one server.

    Whatever speaks to the server may raise `ServerRefusedError` or `UnreachableError`, every method a `HomeError`.
    `observe` is told each incident: what in a group's log was not as it should be.
    """

    def __init__(self, home: Home, server: Server, signer: Signer, observe: Callable[[Incident], None]) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._mail = Mail(home, server, signer, observe)

    @classmethod
    def open(
        cls,
        home: Home,
        url: str,
        *,
        transport: Transport | None = None,
        now: Callable[[], datetime] = utc_now,
        random: Callable[[int], bytes] = os.urandom,
        sleep: Callable[[float], None] = time.sleep,
        observe: Callable[[Incident], None] = _ignore,
    ) -> Device:
        """Return the device of a home, in front of the server at a base URL."""
        return cls(home, Server(url, transport, sleep), Signer(home.private_key(), now, random), observe)

    # --- joining and reading -----------------------------------------------------------------------------------------

    def join(self, code: str) -> Seat:
        """Enrol with an invite's code and return the seat; cut short, it can be done again with the same code.

        `UntrustedMessageError` or `AnotherServiceError` if the Welcome can't be trusted.
        """
        key_package = self._key_package(code)
        answer = self._server.enrol(code, key_package_event(self._signer, key_package.key_package))
        seat = take_seat(answer, key_package, self._signer.now())
        with self._home.locked():
            self._check_same_service(seat)
            self._home.save_all({(GROUP, seat.group_id): seat.to_bytes(), (_ENROLMENT, _enrolment_id(code)): None})
        return seat

    def seats(self) -> list[Seat]:
        """Return the device's seats, by group; of groups that it was removed from, too."""
        return self._mail.seats()

    def catch_up(self) -> list[Notice]:
        """Read what is new in all groups' logs and return the notices that came; see `Mail.catch_up`."""
        return self._mail.catch_up()

    # --- the inbox ---------------------------------------------------------------------------------------------------

    def inbox(self) -> list[Notice]:
        """Return the notices that the home holds, the oldest first."""
        return self._mail.inbox()

    def notice(self, rotation_id: str) -> Notice:
        """Return the notice of a rotation; `NoticeError` if the inbox has none."""
        return self._mail.notice(rotation_id)

    def mark_taken(self, rotation_id: str) -> Notice:
        """Note that a secret was handed over: it will not be again, and goes once it is acknowledged, too."""
        return self._mail.mark_taken(rotation_id)

    def ack(self, rotation_id: str) -> dict[str, object]:
        """Acknowledge a rotation with a receipt, and return the server's answer.

        `NoticeError` if there is no notice of it, or its secret is gone.
        """
        if self._mail.held(rotation_id) is None:
            self.catch_up()
        notice = self.notice(rotation_id)
        answer = self._server.post_event(ack_event(self._signer, notice, notice.held_secret()))
        self._mail.mark_acked(rotation_id)
        return answer

    # --- commands ----------------------------------------------------------------------------------------------------

    def plan(self, wish: Wish) -> RotationPlan:
        """Return what a rotation would do; `NotEnrolledError` if this device may not ask for it."""
        return make_plan(wish, self.client(wish.client_id), self.seats(), self._signer.now())

    def send(self, plan: RotationPlan) -> dict[str, object]:
        """Ask for the rotation that was planned, and return the server's answer."""
        return self._server.post_event(rotation_event(self._signer, plan.request))

    def rotate(
        self,
        client_id: str,
        reason: str,
        *,
        grace: timedelta | None = None,
        not_before: timedelta | None = None,
        rotation_id: str | None = None,
        supersede: bool = False,
        emergency: bool = False,
    ) -> dict[str, object]:
        """Plan a rotation and ask for it; what is None, the client's policy decides."""
        wish = Wish(
            client_id=client_id,
            rotation_id=rotation_identifier(rotation_id or self.new_id()),
            reason=reason,
            grace=grace,
            not_before=not_before,
            supersede=supersede,
            emergency=emergency,
        )
        return self.send(self.plan(wish))

    def command(self, action_type: str, client_id: str, params: Mapping[str, object], reason: str) -> dict[str, object]:
        """Send any other command (protocol.md §8, kind 40910), and return the server's answer."""
        group = common_group(answers.texts(self.client(client_id), "groups"), self.seats())
        event = service_event(
            self._signer,
            action_type=action_type,
            action_id=self.new_id(),
            client_id=client_id,
            group=group,
            params={**params, "reason": reason},
        )
        return self._server.post_event(event)

    def client(self, client_id: str) -> dict[str, object]:
        """Return a client as the server shows it to members."""
        return self._server.client(self._signer, identifier(client_id))

    def rotation(self, rotation_id: str) -> dict[str, object]:
        """Return a rotation as the server shows it to members."""
        return self._server.rotation(self._signer, rotation_id)

    def new_id(self) -> str:
        """Return a fresh ULID."""
        return ulid(self._signer.now(), self._signer.random(10))

    # --- within ------------------------------------------------------------------------------------------------------

    def _key_package(self, code: str) -> KeyPackageSecrets:
        # Kept until the Welcome is in: a repeated enrolment must show the same one (docs/http.md, `enrol`).
        with self._home.locked():
            kept = self._home.load(_ENROLMENT, _enrolment_id(code))
            if kept is not None:
                return KeyPackageSecrets.from_bytes(kept)
            fresh = self._fresh_key_package()
            self._home.save(_ENROLMENT, _enrolment_id(code), fresh.to_bytes())
        return fresh

    def _fresh_key_package(self) -> KeyPackageSecrets:
        now, random = self._signer.now(), self._signer.random
        return create_key_package(
            bytes.fromhex(self._signer.public_key),
            random(_SEED_BYTES),
            not_before=now - _CLOCK_TOLERANCE,
            not_after=now + _KEY_PACKAGE_LIFETIME,
            random=random,
        )

    def _check_same_service(self, seat: Seat) -> None:
        if seat.group_id in self._home.ids(GROUP) and self._mail.seat(seat.group_id).service != seat.service:
            raise AnotherServiceError(
                "A group of that name is known here, under another service's key.",
                "Use another home for another service: --home.",
            )


def _enrolment_id(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8")).hexdigest()  # the code itself is not kept
