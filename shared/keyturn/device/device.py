"""An admin's device: what it keeps in its home, and what it does at the server's doors.

The commands of `keyturn`, the demo and the tests are thin over this one.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.ack_status import MAY_HAVE_COUNTED, counted_ack
from keyturn.device.api import response_fields as answers
from keyturn.device.api.client import Server
from keyturn.device.attestation.authenticator import NO_KEYS, Vouching
from keyturn.device.attestation.proof import NO_PROOF, Prover, Subject, no_code
from keyturn.device.attestation.registration import Registration
from keyturn.device.core.clock import utc_now
from keyturn.device.core.errors import ServerRefusedError
from keyturn.device.core.signed_events import ServiceRequest, Signer, ack_digest, ack_event, rotation_event
from keyturn.device.groups.catch_up import Following, no_progress
from keyturn.device.groups.incidents import Incident, told
from keyturn.device.groups.join import Enrolment
from keyturn.device.groups.key_refresh import Renewals
from keyturn.device.groups.local_store import GROUP, Mail
from keyturn.device.groups.membership import Lost, Seat
from keyturn.device.groups.outbox import OUTGOING, Outbox
from keyturn.device.rotation_plan import RotationPlan, Wish, any_group, common_group, make_plan
from keyturn.domain.encodings import identifier, rotation_identifier, ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from keyturn.device.api.transport import Transport
    from keyturn.device.attestation.authenticator import SecurityKeys
    from keyturn.device.attestation.registration import Registered
    from keyturn.device.core.notice import Notice
    from keyturn.device.groups.relay_log import RelayInbox
    from keyturn.device.home.home import Home
    from keyturn.device.home.state import Key
    from keyturn.proofs.nostr import Event


def _ignore(_incident: Incident) -> None:
    """Observe nothing."""


class Device:
    """A device with an opened home, in front of one server.

    Whatever speaks to the server may raise `ServerRefusedError` or `UnreachableError`, every method a `HomeError`.
    `observe` is told each incident: who came and went, and what was not as it should be. A home that an older copy was
    put back into is noticed when the device is made: it comes back to its groups with new keys at its next reading.
    """

    def __init__(
        self,
        home: Home,
        server: Server,
        signer: Signer,
        observe: Callable[[Incident], None],
        ask_code: Callable[[], str] = no_code,
        security_keys: SecurityKeys = NO_KEYS,
    ) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._observe = observe
        self._mail = Mail(home, signer.now)
        vouching = Vouching(home, signer.random, server.url, security_keys)
        self._prover = Prover(home, server, signer, vouching, ask_code)
        self._registration = Registration(home, server, signer, vouching)
        self._enrolment = Enrolment(home, server, signer, self._mail)
        self._following = Following(self._mail, self._enrolment, server, signer, observe)
        self._outbox = Outbox(home, server, signer, self._mail, self._following)
        self._renewals = Renewals(home, server, signer, self._mail, self._following, observe)
        self._settle_rollback()

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
        ask_code: Callable[[], str] = no_code,
        security_keys: SecurityKeys = NO_KEYS,
    ) -> Device:
        """Return the device of a home, in front of the server at a base URL."""
        server, signer = Server(url, transport, sleep), Signer(home.private_key(), now, random)
        return cls(home, server, signer, observe, ask_code, security_keys)

    # --- joining and reading -----------------------------------------------------------------------------------------

    def register(self, code: str, *, security_key: bool = False) -> Registered | None:
        """Show who and which device this is, before `join`; None where that is not wanted, or done (`Registration`)."""
        return self._registration.begin(code, security_key=security_key)

    def confirm(self, code: str, totp: str) -> dict[str, object]:
        """Complete a registration with a code of the authenticator; a wrong one is a `ServerRefusedError`."""
        return self._registration.confirm(code, totp)

    def join(self, code: str) -> Seat:
        """Enrol with an invite's code and return the seat; cut short, it can be done again with the same code.

        `UntrustedMessageError` or `AnotherServiceError` if the Welcome can't be trusted.
        """
        seat = self._enrolment.join(code)
        self._registration.forget(code)
        return seat

    def rejoin(self, group_id: str) -> Seat:
        """Come back to a group with a fresh key package; the inbox stays. `NotEnrolledError` if it was never in it."""
        return self._following.come_back(identifier(group_id))

    def refresh(self, group_id: str) -> Seat:
        """Replace this device's keys in a group; see `Renewals.refresh`."""
        return self._renewals.refresh(identifier(group_id))

    def seats(self) -> list[Seat]:
        """Return the device's seats, by group; of groups that it was removed from, too."""
        return self._mail.seats()

    def refresh_all(self) -> list[Seat]:
        """Replace this device's keys in each of its groups."""
        return [self.refresh(seat.group_id) for seat in self.seats() if seat.lost is not Lost.REMOVED]

    def catch_up(self, progress: Callable[[str, int, int], None] = no_progress) -> list[Notice]:
        """Read what is new in all groups' logs and return the notices that came; see `Following.catch_up`.

        Keys of this device that are older than a week are replaced on the way (renewal.py).
        """
        known = {notice.rotation_id for notice in self.inbox()}
        self._following.catch_up(progress)
        self._renewals.refresh_what_is_due()
        self._outbox.tidy()
        return [notice for notice in self.inbox() if notice.rotation_id not in known]

    def read_relay(self, relay: RelayInbox) -> list[Notice]:
        """Read what a relay has of the groups' logs, without the server, and return the notices that came.

        `UnreachableError`, or what keeps a log from being followed (`Following.catch_up`).
        """
        notices: list[Notice] = []
        for seat in [seat for seat in self._mail.seats() if seat.is_usable]:
            reading = self._mail.take_in(seat.group_id, relay.entries(seat, self._signer.now()))
            for incident in (*reading.incidents, *told(reading.changes, {})):
                self._observe(incident)
            if reading.failure is not None:
                raise reading.failure
            notices += reading.notices
        return notices

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

    def ack(self, rotation_id: str, progress: Callable[[str, int, int], None] = no_progress) -> dict[str, object]:
        """Acknowledge a rotation with a receipt, and return the server's answer.

        An acknowledgement that the server has of this device already is as good: what it came to is returned.
        `NoticeError` if there is no notice of it, or its secret is gone.
        """
        if self._mail.held(rotation_id) is None:
            self.catch_up(progress)
        notice = self.notice(rotation_id)
        if notice.acked_at is not None and (counted := self._counted_ack(rotation_id)):
            return counted
        try:
            return self._send_ack(notice)
        except ServerRefusedError as refused:
            counted = self._counted_ack(rotation_id) if refused.reason in MAY_HAVE_COUNTED else None
            if counted is None:
                raise
        self._mail.mark_acked(rotation_id)
        return counted

    def _send_ack(self, notice: Notice) -> dict[str, object]:
        return self._outbox.send(
            f"ack:{notice.rotation_id}",
            notice.group,
            lambda: ack_event(self._signer, notice, notice.held_secret(), self._proof_of_ack(notice)),
            lambda: self._mail.acked(notice.rotation_id),
        )

    def _proof_of_ack(self, notice: Notice) -> str:
        try:
            policy = answers.mapping(self.client(notice.client_id), "policy")
        except ServerRefusedError:  # it shows nothing to who is in no group any more: whether this counts it will say
            return NO_PROOF
        if policy.get("require_ack_proofs") is not True:
            return NO_PROOF
        return self._prover.proof(Subject(digest=ack_digest(notice), client_id=notice.client_id))

    def _counted_ack(self, rotation_id: str) -> dict[str, object] | None:
        try:
            return counted_ack(self.rotation(rotation_id), self._home.npub)
        except ServerRefusedError:  # it shows nothing to who is in no group any more
            return None

    # --- commands ----------------------------------------------------------------------------------------------------

    def plan(self, wish: Wish) -> RotationPlan:
        """Return what a rotation would do; `NotEnrolledError` if this device may not ask for it."""
        return make_plan(wish, self.client(wish.client_id), self._seats_to_send_from(), self._signer.now())

    def send(self, plan: RotationPlan) -> dict[str, object]:
        """Ask for the rotation that was planned, and return the server's answer."""
        return self._outbox.send(f"rotation:{plan.request.rotation_id}", plan.request.group, lambda: self._asked(plan))

    def _asked(self, plan: RotationPlan) -> Event:
        presence = self._prover.presence()
        moment = self._signer.now()  # the lead counts from the event's time, and somebody may type slowly
        request = plan.request_at(moment)
        subject = Subject(digest=request.digest, group=request.group, client_id=request.client_id)
        proof = self._prover.proof_by(presence, subject)
        return rotation_event(replace(self._signer, now=lambda: moment), request, proof)

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
        group = common_group(answers.texts(self.client(client_id), "groups"), self._seats_to_send_from())
        request = ServiceRequest(action_type, self.new_id(), client_id, group, {**params, "reason": reason})
        return self._outbox.send(f"action:{request.action_id}", group, lambda: self._proven(request))

    def approve(self, invite: str, user: str, purpose: str) -> dict[str, object]:
        """Approve an invite (its id), or a resumption, that is for this person and purpose.

        `NotEnrolledError` if this device is in no group; a `ServerRefusedError` if the invite is for something else.
        Returns `invite`, `approvals` so far and how many are `needed`.
        """
        group = any_group(self._seats_to_send_from())
        params = {"invite": invite, "user": user, "purpose": purpose}
        request = ServiceRequest("approve", self.new_id(), "", group, params)
        return self._server.approve(self._proven(request))

    def client(self, client_id: str) -> dict[str, object]:
        """Return a client as the server shows it to members."""
        return self._server.client(self._signer, identifier(client_id))

    def cutover(self, client_id: str) -> dict[str, object]:
        """Return how far a client has moved to its new secret, as the server shows it to members."""
        return self._server.cutover(self._signer, client_id)

    def group(self, group_id: str) -> dict[str, object]:
        """Return a group as the server shows it to members."""
        return self._server.group(self._signer, group_id)

    def rotation(self, rotation_id: str) -> dict[str, object]:
        """Return a rotation as the server shows it to members."""
        return self._server.rotation(self._signer, rotation_id)

    def new_id(self) -> str:
        """Return a fresh ULID."""
        return ulid(self._signer.now(), self._signer.random(10))

    # --- within ------------------------------------------------------------------------------------------------------

    def _proven(self, request: ServiceRequest) -> Event:
        about = {"group": request.group, "client_id": request.client_id, "action": request.action_type}
        return request.event(self._signer, self._prover.proof(Subject(digest=request.digest, **about)))

    def _seats_to_send_from(self) -> list[Seat]:
        if any(seat.wants_return for seat in self.seats()):
            self.catch_up()
        return self.seats()

    def _settle_rollback(self) -> None:
        # Keys of an older copy may have encrypted already: nothing is sent with them, and what waited to be sent goes.
        if not self._home.rolled_back:
            return
        with self._home.locked():
            given_up = [seat.given_up(Lost.ROLLED_BACK) for seat in self.seats() if seat.lost is not Lost.REMOVED]
            changes: dict[Key, bytes | None] = {(GROUP, seat.group_id): seat.to_bytes() for seat in given_up}
            changes |= {(OUTGOING, letter_id): None for letter_id in self._home.ids(OUTGOING)}
            self._home.settle_rollback(changes)
        sentence = "An older copy of this device's state was put back: its keys are not used any more."
        for seat in given_up:
            self._observe(Incident(seat.group_id, seat.cursor, sentence))
