"""An admin's device: the facade over its home, its groups and the service's API.

The commands of `keyturn`, the demo and the tests call it, and add little of their own.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.api.client import ApiClient
from keyturn.device.attestation.proof import ProofSubject, Prover, no_code
from keyturn.device.attestation.registration import DeviceRegistration
from keyturn.device.context import DeviceContext
from keyturn.device.core.signed_events import EventSigner, ServiceRequest, rotation_event, utc_now
from keyturn.device.groups.catch_up import CatchUp, no_progress
from keyturn.device.groups.inbox import Inbox
from keyturn.device.groups.join import Enrolment
from keyturn.device.groups.key_refresh import KeyRefresh
from keyturn.device.groups.membership import LostReason, Memberships, changes_of
from keyturn.device.groups.outbox import ACTION, OUTGOING, AckSender, CommandOutbox
from keyturn.device.incidents import Incident
from keyturn.device.rotation_preview import RotationOptions, any_group, common_group, preview_rotation
from keyturn.device.security_key import NO_SECURITY_KEYS, SecurityKeys
from keyturn.domain.encodings import identifier, rotation_identifier, ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from keyturn.device.api.client import Transport
    from keyturn.device.attestation.registration import RegistrationResult
    from keyturn.device.groups.inbox import Notice
    from keyturn.device.groups.membership import DeviceMembership
    from keyturn.device.groups.relay_log import RelayInbox
    from keyturn.device.home.home import Home
    from keyturn.device.home.sealed_files import RecordKey
    from keyturn.device.rotation_preview import RotationPreview
    from keyturn.proofs.nostr import Event


def _ignore(_incident: Incident) -> None:
    """Ignore an incident."""


class Device:
    """A device with an opened home, in front of one server.

    Every method may raise a `HomeError`, and those that call the server `ServerRefusedError` or `UnreachableError`.
    When the device is created, it notices that an older copy of its home was restored. It then rejoins its groups with
    new keys when it next catches up.
    """

    def __init__(self, context: DeviceContext) -> None:
        self.context = context
        self._inbox = Inbox(context.home, context.signer.now)
        self._memberships = Memberships(context.home)
        self._prover = Prover(context)
        self._registration = DeviceRegistration(context)
        self._catch_up = CatchUp(context)
        self._outbox = CommandOutbox(context)
        self._acks = AckSender(context, self._outbox, self._prover)
        self._key_refresh = KeyRefresh(context)
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
        security_keys: SecurityKeys = NO_SECURITY_KEYS,
    ) -> Device:
        """Return the device of a home, in front of the server at a base URL. See `DeviceContext` for the arguments."""
        api, signer = ApiClient(url, transport, sleep), EventSigner(home.private_key(), now, random)
        return cls(DeviceContext(home, api, signer, observe, ask_code, security_keys))

    # --- joining and reading -----------------------------------------------------------------------------------------

    def register(self, code: str, *, security_key: bool = False) -> RegistrationResult | None:
        """Register user and device before `join`; None if that is not required or complete (`DeviceRegistration`)."""
        return self._registration.begin(code, security_key=security_key)

    def confirm(self, code: str, totp: str) -> dict[str, object]:
        """Complete a registration with a code of the authenticator app; `ServerRefusedError` for a wrong one."""
        return self._registration.confirm(code, totp)

    def join(self, code: str) -> DeviceMembership:
        """Enrol with an invite's code. If it is interrupted, call it again with the same code.

        `UntrustedMessageError` or `AnotherServiceError` if the Welcome can't be trusted.
        """
        membership = Enrolment(self.context).join(code)
        self._registration.forget(code)
        return membership

    def rejoin(self, group_id: str) -> DeviceMembership:
        """Join a group again with new keys; `NotEnrolledError` if the device never joined. The inbox stays."""
        return self._catch_up.rejoin(identifier(group_id))

    def refresh(self, group_id: str) -> DeviceMembership:
        """Replace this device's keys in a group; see `KeyRefresh.refresh`."""
        return self._key_refresh.refresh(identifier(group_id))

    def memberships(self) -> list[DeviceMembership]:
        """Return the device's memberships by group id, including those of groups that removed it."""
        return self._memberships.all()

    def refresh_all(self) -> list[DeviceMembership]:
        """Replace this device's keys in each of its groups."""
        return [self.refresh(membership.group_id) for membership in self._present_memberships()]

    def catch_up(self, progress: Callable[[str, int, int], None] = no_progress) -> list[Notice]:
        """Read the new entries of all groups' logs, and return the new notices; see `CatchUp.catch_up`.

        It also replaces keys of this device that are older than seven days.
        """
        earlier = {notice.rotation_id for notice in self.inbox()}
        self._catch_up.catch_up(progress)
        self._key_refresh.refresh_old_keys()
        self._outbox.delete_expired()
        return [notice for notice in self.inbox() if notice.rotation_id not in earlier]

    def read_relay(self, relay: RelayInbox) -> list[Notice]:
        """Read the groups' logs from a relay, without the server, and return the new notices.

        `UnreachableError`, or an error of `CatchUp.catch_up`.
        """
        notices: list[Notice] = []
        for membership in self.memberships():
            if membership.is_usable:
                entries = relay.entries(membership, self.context.signer.now())
                notices += self._catch_up.take_entries(membership.group_id, entries)
        return notices

    # --- the inbox ---------------------------------------------------------------------------------------------------

    def inbox(self) -> list[Notice]:
        """Return the notices in the home, the oldest first."""
        return self._inbox.notices()

    def notice(self, rotation_id: str) -> Notice:
        """Return the notice of a rotation; `NoticeError` if the inbox has none."""
        return self._inbox.notice(rotation_id)

    def mark_delivered(self, rotation_id: str) -> Notice:
        """Record that a secret was delivered: it is not delivered again, and is deleted once it is acknowledged."""
        return self._inbox.mark_delivered(rotation_id)

    def ack(self, rotation_id: str, progress: Callable[[str, int, int], None] = no_progress) -> dict[str, object]:
        """Acknowledge a rotation, after catching up if its notice has not come yet; see `AckSender.acknowledge`."""
        if self._inbox.find(rotation_id) is None:
            self.catch_up(progress)
        return self._acks.acknowledge(rotation_id)

    # --- commands ----------------------------------------------------------------------------------------------------

    def preview(self, options: RotationOptions) -> RotationPreview:
        """Return the effects of a rotation; `NotEnrolledError` if this device may not request it."""
        client = self.client(options.client_id)
        return preview_rotation(options, client, self._sending_memberships(), self.context.signer.now())

    def send(self, preview: RotationPreview) -> dict[str, object]:
        """Request the rotation of a preview, and return the server's answer."""
        command_id = f"rotation:{preview.request.rotation_id}"
        return self._outbox.send(command_id, preview.request.group, lambda: self._sign_rotation(preview))

    def _sign_rotation(self, preview: RotationPreview) -> Event:
        presence = self._prover.presence()
        # The lead counts from the event's time. It is read here, because the user may have typed a code for a while.
        signing_time = self.context.signer.now()
        request = preview.request_at(signing_time)
        subject = ProofSubject(digest=request.digest, group=request.group, client_id=request.client_id)
        proof = self._prover.proof_by(presence, subject)
        return rotation_event(replace(self.context.signer, now=lambda: signing_time), request, proof)

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
        """Request a rotation without a preview. None leaves the choice to the client's policy."""
        options = RotationOptions(
            client_id=client_id,
            rotation_id=rotation_identifier(rotation_id or self.new_id()),
            reason=reason,
            grace=grace,
            not_before=not_before,
            supersede=supersede,
            emergency=emergency,
        )
        return self.send(self.preview(options))

    def command(self, action_type: str, client_id: str, params: Mapping[str, object], reason: str) -> dict[str, object]:
        """Send any other command (docs/protocol.md §8, kind 40910), and return the server's answer."""
        groups = response_fields.texts(self.client(client_id), "groups")
        group = common_group(groups, self._sending_memberships())
        request = ServiceRequest(action_type, self.new_id(), client_id, group, {**params, "reason": reason})
        request = self._outbox.resumed(request)
        return self._outbox.send(f"{ACTION}{request.action_id}", group, lambda: self._sign_with_proof(request))

    def approve(self, invite: str, user: str, purpose: str) -> dict[str, object]:
        """Approve an invite (its id) or a resumption, which must be for this user and purpose.

        Returns `invite`, `approvals` so far and how many are `needed`. `NotEnrolledError` if this device is in no
        group; `ServerRefusedError` if the invite is for another user or purpose.
        """
        group = any_group(self._sending_memberships())
        params = {"invite": invite, "user": user, "purpose": purpose}
        request = ServiceRequest("approve", self.new_id(), "", group, params)
        return self.context.api.approve(self._sign_with_proof(request))

    def client(self, client_id: str) -> dict[str, object]:
        """Return a client as the server shows it to members of its groups."""
        return self.context.api.client(self.context.signer, identifier(client_id))

    def cutover(self, client_id: str) -> dict[str, object]:
        """Return how many of a client's instances use its new secret, as the server shows it to members."""
        return self.context.api.cutover(self.context.signer, client_id)

    def group(self, group_id: str) -> dict[str, object]:
        """Return a group as the server shows it to its members."""
        return self.context.api.group(self.context.signer, group_id)

    def rotation(self, rotation_id: str) -> dict[str, object]:
        """Return a rotation as the server shows it to members of the client's groups."""
        return self.context.api.rotation(self.context.signer, rotation_id)

    def new_id(self) -> str:
        """Return a fresh ULID."""
        return ulid(self.context.signer.now(), self.context.signer.random(10))

    # --- internals ---------------------------------------------------------------------------------------------------

    def _sign_with_proof(self, request: ServiceRequest) -> Event:
        subject = ProofSubject(
            digest=request.digest, group=request.group, client_id=request.client_id, action=request.action_type
        )
        return request.event(self.context.signer, self._prover.proof(subject))

    def _sending_memberships(self) -> list[DeviceMembership]:
        if any(membership.needs_rejoin for membership in self.memberships()):
            self.catch_up()
        return self.memberships()

    def _present_memberships(self) -> list[DeviceMembership]:
        return [item for item in self.memberships() if item.lost_reason is not LostReason.REMOVED]

    def _settle_rollback(self) -> None:
        home = self.context.home
        if not home.rolled_back:
            return
        # The lost later state may have encrypted with the same keys, and a generation must not be used twice
        # (RFC 9420 §9.1). So nothing is sent with them any more, and commands that waited to be sent are deleted.
        with home.locked():
            lost_memberships = [item.lost_because(LostReason.ROLLED_BACK) for item in self._present_memberships()]
            changes: dict[RecordKey, bytes | None] = {(OUTGOING, command_id): None for command_id in home.ids(OUTGOING)}
            for membership in lost_memberships:
                changes |= changes_of(membership)
            home.settle_rollback(changes)
        sentence = "An older copy of this device's state was restored. Its keys are not used any more."
        for membership in lost_memberships:
            self.context.observe(Incident(membership.group_id, membership.cursor, sentence))
