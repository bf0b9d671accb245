"""Composition for `enrol`: registration of devices, approvals, and joining groups."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.use_cases.admins.approve import ApproveInvite
from keyturn.use_cases.enrolment.invite_context import ReadInviteContext
from keyturn.use_cases.enrolment.join_group import JoinGroup
from keyturn.use_cases.enrolment.register_device import RegisterDevice
from keyturn.use_cases.groups.turns import Turns
from keyturn.use_cases.refusal_log import Refusals

if TYPE_CHECKING:
    from keyturn.entry.composition.foundation import Foundation
    from keyturn.entry.composition.proof_suite import ProofSuite

_FUNCTION = "enrol"


@dataclass(frozen=True)
class EnrolmentSuite:
    """What brings devices into groups."""

    base: Foundation
    proofs: ProofSuite

    @functools.cached_property
    def invite_context(self) -> ReadInviteContext:
        """Reads and judges the invite of a code."""
        settings = self.base.settings
        return ReadInviteContext(self.base.databases.auth, settings.policy.invite_quorum, settings.denied)

    @functools.cached_property
    def register(self) -> RegisterDevice:
        """Registers admins and their devices."""
        base, proofs = self.base, self.proofs
        return RegisterDevice(
            databases=base.databases,
            read_context=self.invite_context,
            challenges=proofs.challenges,
            identity=proofs.identity,
            attestations=proofs.attestations,
            sealer=base.keys.sealer,
            refusals=Refusals(base.databases.usage, _FUNCTION),
            environment=base.environment,
            service=base.settings.base_url,
            banner=base.settings.banner,
        )

    @functools.cached_property
    def approvals(self) -> ApproveInvite:
        """Takes admins' approvals of invites."""
        base, settings = self.base, self.base.settings
        authoriser, quorum = self.proofs.authoriser(_FUNCTION), settings.policy.invite_quorum
        return ApproveInvite(base.databases, authoriser, base.environment, quorum, settings.denied, settings.banner)

    @functools.cached_property
    def join(self) -> JoinGroup:
        """Lets a device join its group, or join it again."""
        base, settings = self.base, self.base.settings
        # Without attestation an invite's code alone admits a device, so there is no registration to look up.
        context = self.invite_context if settings.attested else None
        turns = Turns(base.environment.wait)
        return JoinGroup(
            base.databases, base.groups, base.environment, turns, settings.banner, context, settings.denied
        )
