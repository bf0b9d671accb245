"""The preview of a rotation: its effects and times, shown before it is requested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.core.errors import NotEnrolledError
from keyturn.device.core.signed_events import RotationRequest
from keyturn.domain.encodings import milliseconds, to_milliseconds
from keyturn.domain.model import ClientKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.device.groups.membership import DeviceMembership


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOptions:
    """The admin's options for a rotation. None leaves the choice to the client's policy."""

    client_id: str
    rotation_id: str
    reason: str
    grace: timedelta | None = None
    not_before: timedelta | None = None
    supersede: bool = False
    emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPreview:
    """A request and its effects, as far as the device knows them. Times are Unix milliseconds by its clock."""

    request: RotationRequest
    groups: tuple[str, ...]
    """The groups that receive the notice."""
    npubs: tuple[str, ...]
    """The members of those groups, as far as this device is in them."""
    quorum: int
    canaries: int
    """How many of the integrator's own instances must prove that they hold the secret."""
    promoted_from: int
    """The earliest promotion. The quorum is required as well."""
    grace_until: int
    """The current version verifies at least until then."""
    current_version: str | None
    version_in_grace: str | None
    active_rotation: str | None
    tokens_until: int | None = None
    """Until when checkers that look only at `exp` accept tokens of the current version. None: not beyond its grace."""
    lead: timedelta | None = None
    """The least time from the event to the promotion; None for the policy's least time."""

    @property
    def effect_on_grace(self) -> str:
        """What happens to the version in grace."""
        if self.version_in_grace is None:
            return "none is in grace"
        if self.request.supersede or self.request.emergency:
            return f"{self.version_in_grace} ends when the new version takes over"
        return f"{self.version_in_grace} is in grace: refused until that ends, unless --supersede"

    @property
    def effect_on_active(self) -> str:
        """What happens to the active rotation."""
        if self.active_rotation is None:
            return "none is active"
        if self.request.emergency:
            return f"{self.active_rotation} is canceled by this one"
        return f"{self.active_rotation} is active: refused until it ends"

    def request_at(self, time: datetime) -> RotationRequest:
        """Return the request to sign at a time. The lead starts then, not when the preview was made."""
        if self.lead is None:
            return self.request
        return replace(self.request, not_before=to_milliseconds(time + self.lead))


def preview_rotation(
    options: RotationOptions, client: Mapping[str, object], memberships: Sequence[DeviceMembership], now: datetime
) -> RotationPreview:
    """Return the preview, from the client as `status` shows it and this device's memberships.

    `NotEnrolledError` if the device is in none of the client's groups.
    """
    policy = response_fields.mapping(client, "policy")
    groups = tuple(response_fields.texts(client, "groups"))
    request = _request(options, policy, common_group(groups, memberships), now)
    promoted_from = request.not_before or to_milliseconds(now) + _least_lead(options, client, policy)
    npubs = {npub for membership in memberships if membership.group_id in groups for npub in membership.npubs}
    return RotationPreview(
        request=request,
        groups=groups,
        npubs=tuple(sorted(npubs)),
        quorum=response_fields.integer(client, "quorum"),
        canaries=_canaries(options, client, policy),
        promoted_from=promoted_from,
        grace_until=promoted_from + request.grace_milliseconds,
        current_version=response_fields.optional_text(client, "current_version"),
        version_in_grace=response_fields.optional_text(client, "previous_version"),
        active_rotation=response_fields.optional_text(client, "active_rotation"),
        tokens_until=_tokens_until(client, policy, promoted_from, request.grace_milliseconds),
        lead=options.not_before,
    )


def common_group(groups: Sequence[str], memberships: Sequence[DeviceMembership]) -> str:
    """Return the first of a client's groups that this device is in; `NotEnrolledError` if it is in none."""
    # The client's order decides, so that all of its admins choose the same group.
    own = {membership.group_id for membership in memberships if membership.is_usable}
    shared = [group for group in groups if group in own]
    if not shared:
        raise NotEnrolledError(
            "This device is in no group of that client.",
            "Have it invited: `keyturn device invite`, then `device join`.",
        )
    return shared[0]


def any_group(memberships: Sequence[DeviceMembership]) -> str:
    """Return the first group by name that this device is in; `NotEnrolledError` if it is in none."""
    own = sorted(membership.group_id for membership in memberships if membership.is_usable)
    if not own:
        raise NotEnrolledError("This device is in no group.", "Have it invited: `keyturn device invite`.")
    return own[0]


def _tokens_until(
    client: Mapping[str, object], policy: Mapping[str, object], promoted_from: int, grace_milliseconds: int
) -> int | None:
    # Until the promotion tokens are issued for their whole lifetime, and from then on to the end of the grace.
    if (
        client.get("kind") != ClientKind.OAUTH2_CLIENT_SECRET
        or client.get("current_version") is None
        or "access_token_seconds" not in policy
    ):
        return None
    lifetime = 1000 * response_fields.integer(policy, "access_token_seconds")
    return promoted_from + lifetime if lifetime > grace_milliseconds else None


def _canaries(options: RotationOptions, client: Mapping[str, object], policy: Mapping[str, object]) -> int:
    if options.emergency or client.get("current_version") is None or "canaries" not in policy:
        return 0
    return response_fields.integer(policy, "canaries")


def _request(options: RotationOptions, policy: Mapping[str, object], group: str, now: datetime) -> RotationRequest:
    grace = options.grace
    if grace is None:
        grace = timedelta(seconds=response_fields.integer(policy, "grace_seconds"))
    return RotationRequest(
        client_id=options.client_id,
        rotation_id=options.rotation_id,
        reason=options.reason,
        group=group,
        grace_milliseconds=milliseconds(grace),
        not_before=None if options.not_before is None else to_milliseconds(now + options.not_before),
        supersede=options.supersede,
        emergency=options.emergency,
    )


def _least_lead(options: RotationOptions, client: Mapping[str, object], policy: Mapping[str, object]) -> int:
    # docs/protocol.md §4 and §6: a client's first version and an emergency need no lead. Nothing verifies yet that the
    # lead would protect, and an emergency can't wait.
    if options.emergency or client.get("current_version") is None:
        return 0
    return 1000 * response_fields.integer(policy, "minimum_not_before_seconds")
