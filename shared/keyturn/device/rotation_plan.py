"""What a rotation will do and when, told before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NotEnrolledError
from keyturn.device.core.signed_events import RotationRequest
from keyturn.domain.encodings import milliseconds, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.device.groups.membership import Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the admin asked for; None where the client's policy is to decide."""

    client_id: str
    rotation_id: str
    reason: str
    grace: timedelta | None = None
    not_before: timedelta | None = None
    supersede: bool = False
    emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPlan:
    """A request, and what is known of its consequences; times are Unix milliseconds by this device's clock."""

    request: RotationRequest
    groups: tuple[str, ...]
    """Whom the notice goes to."""
    npubs: tuple[str, ...]
    """Who is in those of the groups that this device is in."""
    quorum: int
    canaries: int
    """How many of the integrator's own instances have to prove that they hold the secret."""
    promoted_from: int
    """Not earlier than this, and not before the quorum is reached."""
    grace_until: int
    """How long, at least, the version that is current now goes on."""
    current_version: str | None
    version_in_grace: str | None
    active_rotation: str | None
    lead: timedelta | None = None
    """How long after the event's time the new version begins, at least; None for the policy's earliest."""

    @property
    def fate_of_grace(self) -> str:
        """What becomes of the version in grace."""
        if self.version_in_grace is None:
            return "none is in grace"
        if self.request.supersede or self.request.emergency:
            return f"{self.version_in_grace} ends when the new version takes over"
        return f"{self.version_in_grace} is in grace: refused until that ends, unless --supersede"

    @property
    def fate_of_active(self) -> str:
        """What becomes of the rotation that is active."""
        if self.active_rotation is None:
            return "none is active"
        if self.request.emergency:
            return f"{self.active_rotation} is canceled by this one"
        return f"{self.active_rotation} is active: refused until it ends"

    def request_at(self, moment: datetime) -> RotationRequest:
        """Return the request as it is signed at a moment: time that was spent before it takes nothing from the lead."""
        if self.lead is None:
            return self.request
        return replace(self.request, not_before=to_milliseconds(moment + self.lead))


def make_plan(wish: Wish, client: Mapping[str, object], seats: Sequence[Seat], now: datetime) -> RotationPlan:
    """Return the plan for a wish, from the client as `status` shows it and the groups that this device is in.

    `NotEnrolledError` if it is in none of the client's.
    """
    policy = answers.mapping(client, "policy")
    groups = tuple(answers.texts(client, "groups"))
    request = _request(wish, policy, common_group(groups, seats), now)
    promoted_from = request.not_before or to_milliseconds(now) + _least_lead(wish, client, policy)
    return RotationPlan(
        request=request,
        groups=groups,
        npubs=tuple(sorted({npub for seat in seats if seat.group_id in groups for npub in seat.npubs})),
        quorum=answers.integer(client, "quorum"),
        canaries=_canaries(wish, client, policy),
        promoted_from=promoted_from,
        grace_until=promoted_from + request.grace_milliseconds,
        current_version=answers.optional_text(client, "current_version"),
        version_in_grace=answers.optional_text(client, "previous_version"),
        active_rotation=answers.optional_text(client, "active_rotation"),
        lead=wish.not_before,
    )


def common_group(groups: Sequence[str], seats: Sequence[Seat]) -> str:
    """Return the first of a client's groups that this device is in; `NotEnrolledError` if it is in none."""
    own = {seat.group_id for seat in seats if seat.is_usable}
    shared = [group for group in groups if group in own]
    if not shared:
        raise NotEnrolledError(
            "This device is in no group of that client.",
            "Have it invited: `keyturn device invite`, then `device join`.",
        )
    return shared[0]


def any_group(seats: Sequence[Seat]) -> str:
    """Return a group that this device is in, the first by name; `NotEnrolledError` if it is in none."""
    own = sorted(seat.group_id for seat in seats if seat.is_usable)
    if not own:
        raise NotEnrolledError("This device is in no group.", "Have it invited: `keyturn device invite`.")
    return own[0]


def _canaries(wish: Wish, client: Mapping[str, object], policy: Mapping[str, object]) -> int:
    if wish.emergency or client.get("current_version") is None or "canaries" not in policy:
        return 0
    return answers.integer(policy, "canaries")


def _request(wish: Wish, policy: Mapping[str, object], group: str, now: datetime) -> RotationRequest:
    grace = timedelta(seconds=answers.integer(policy, "grace_seconds")) if wish.grace is None else wish.grace
    return RotationRequest(
        client_id=wish.client_id,
        rotation_id=wish.rotation_id,
        reason=wish.reason,
        group=group,
        grace_milliseconds=milliseconds(grace),
        not_before=None if wish.not_before is None else to_milliseconds(now + wish.not_before),
        supersede=wish.supersede,
        emergency=wish.emergency,
    )


def _least_lead(wish: Wish, client: Mapping[str, object], policy: Mapping[str, object]) -> int:
    # protocol.md §6: a client's first version may begin at once; §4: so may an emergency's.
    if wish.emergency or client.get("current_version") is None:
        return 0
    return 1000 * answers.integer(policy, "minimum_not_before_seconds")
