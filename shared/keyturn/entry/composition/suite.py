"""Wiring, by hand: settings in, use cases out. Everything is built on first use and kept; nothing opens at import.

Which store, keys and bus these stand on is parts.py's; what checks credentials is verifier_wiring.py's.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.entry.composition.verifier_suite import VerifierSuite
from keyturn.entry.config.settings import from_environment

if TYPE_CHECKING:
    from keyturn.adapters.mls.service_identity import ServiceIdentity
    from keyturn.entry.composition.proof_suite import ProofSuite
    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.bus import Bus
    from keyturn.ports.groups import Groups
    from keyturn.use_cases.admins.approve import Approvals
    from keyturn.use_cases.admins.create_invite import Invites
    from keyturn.use_cases.admins.edit_denylist import Deny
    from keyturn.use_cases.admins.suspension import Standing
    from keyturn.use_cases.client_repository import Clients
    from keyturn.use_cases.clients.administration import Operate
    from keyturn.use_cases.clients.import_bcrypt import ImportClients
    from keyturn.use_cases.clients.leak import Leak
    from keyturn.use_cases.clients.set_policy import SetPolicy
    from keyturn.use_cases.clients.set_token_terms import SetTokenTerms
    from keyturn.use_cases.commands.execute import AcceptEvent
    from keyturn.use_cases.commands.execute_envelope import AcceptEnvelope
    from keyturn.use_cases.distribution.distribute import Distribute
    from keyturn.use_cases.distribution.publish_pending import Publish
    from keyturn.use_cases.enrolment.invite_context import OpenDesk
    from keyturn.use_cases.enrolment.join_group import Enrol
    from keyturn.use_cases.groups.freeze import Freeze
    from keyturn.use_cases.groups.maintenance import Upkeep
    from keyturn.use_cases.groups.relay_outbox import PublishLog
    from keyturn.use_cases.groups.remove_user import RemoveUser
    from keyturn.use_cases.status_queries import ReadStatus
    from keyturn.use_cases.sweep.sweep import Sweep
    from keyturn.use_cases.usage.cutover import Cutover


@dataclass(frozen=True)
class Suite(VerifierSuite):
    """All use cases of one deployment; each property is built when a door first asks for it."""

    # --- ports -------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def bus(self) -> Bus:
        """The bus."""
        return self.parts.bus

    @functools.cached_property
    def groups(self) -> Groups:
        """The service's end of the groups."""
        from keyturn.adapters.mls.groups import MlsGroups
        from keyturn.adapters.mls.service_identity import load_identity

        def identity() -> ServiceIdentity:
            return load_identity(self.databases.control, self.keys.sealer, self.environment.random)

        relayed = bool(self.settings.relays)
        return MlsGroups(identity, self.keys.sealer, self.environment.random, relayed=relayed)

    @functools.cached_property
    def authoriser(self) -> Authoriser:
        """What judges the proof that comes with an act."""
        from keyturn.adapters.authorisation.unattested import NAME, UnsafeAuthoriser

        return UnsafeAuthoriser() if self.settings.authoriser == NAME else self.proofs.authoriser

    @functools.cached_property
    def proofs(self) -> ProofSuite:
        """Behind `admin_proof`, and the authoriser that believes it."""
        from keyturn.entry.composition.proof_suite import ProofSuite
        from keyturn.entry.config.proof_settings import proofs_from_environment

        return ProofSuite(self, proofs_from_environment(os.environ, self.settings.stage))

    # --- use cases ---------------------------------------------------------------------------------------------------

    @functools.cached_property
    def clients(self) -> Clients:
        """The clients' repository."""
        from keyturn.use_cases.client_repository import Clients

        return Clients(self.databases.control, self.settings.policy, self.settings.banner)

    @functools.cached_property
    def accept_event(self) -> AcceptEvent:
        """Behind `rotate_request`: signed events."""
        from keyturn.use_cases.commands.execute import AcceptEvent
        from keyturn.use_cases.refusal_log import Refusals

        refusals = Refusals(self.databases.usage, "rotate_request")
        return AcceptEvent(self.clients, self.authoriser, self.environment, self.settings.denied, refusals)

    @functools.cached_property
    def accept(self) -> AcceptEnvelope:
        """Behind `rotate_request`: signed events and envelopes."""
        from keyturn.use_cases.commands.execute_envelope import AcceptEnvelope

        return AcceptEnvelope(self.accept_event, self.groups)

    @functools.cached_property
    def publish(self) -> Publish:
        """Behind `on_secret_version`."""
        from keyturn.use_cases.distribution.publish_pending import Publish

        return Publish(self.databases.control, self.bus)

    @functools.cached_property
    def distribute(self) -> Distribute:
        """Behind `distribute`."""
        from keyturn.use_cases.distribution.distribute import Distribute

        return Distribute(self.clients, self.groups, self.keys.mac, self.environment, self.publish_log)

    @functools.cached_property
    def publish_log(self) -> PublishLog | None:
        """Behind `distribute` and `grace_sweeper`, where settings name relays: publishes what the service said."""
        if not self.settings.relays:
            return None
        from keyturn.adapters.nostr_relays import NostrRelays
        from keyturn.use_cases.groups.relay_outbox import PublishLog

        return PublishLog(self.databases.control, NostrRelays(self.settings.relays))

    @functools.cached_property
    def sweep(self) -> Sweep:
        """Behind `grace_sweeper`."""
        from keyturn.use_cases.sweep.expiry import Expiry
        from keyturn.use_cases.sweep.sweep import Sweep
        from keyturn.use_cases.usage.canaries import CarryOver
        from keyturn.use_cases.usage.early_retirement import WatchTransitions

        # Firestore lets go of what has expired by itself; no other store does.
        expiry = None if self.settings.cloud else Expiry(self.databases)
        carry_over = CarryOver(self.clients, self.databases.usage)
        watch = WatchTransitions(self.clients, self.databases.usage, self.environment)
        return Sweep(self.clients, self.bus, self.environment, self.upkeep, self.publish_log, expiry, carry_over, watch)

    @functools.cached_property
    def upkeep(self) -> Upkeep:
        """Behind `grace_sweeper`, too: looks after the groups."""
        from keyturn.use_cases.groups.maintenance import Upkeep

        return Upkeep(self.databases, self.groups, self.environment, self.settings.banner)

    @functools.cached_property
    def leak(self) -> Leak:
        """Behind `operator`: which version a sighted secret is of, and an end to it."""
        from keyturn.use_cases.clients.leak import Leak

        return Leak(self.clients, self.environment)

    @functools.cached_property
    def import_clients(self) -> ImportClients:
        """Behind `operator`: clients that come with their bcrypt hashes."""
        from keyturn.use_cases.clients.import_bcrypt import ImportClients

        return ImportClients(self.clients, self.environment)

    @functools.cached_property
    def set_policy(self) -> SetPolicy:
        """Behind `operator`: a client's own policy."""
        from keyturn.use_cases.clients.set_policy import SetPolicy

        return SetPolicy(self.clients, self.environment)

    @functools.cached_property
    def remove_user(self) -> RemoveUser:
        """Behind `operator`: takes a person out of a group."""
        from keyturn.use_cases.groups.remove_user import RemoveUser

        return RemoveUser(self.clients, self.groups, self.environment)

    @functools.cached_property
    def freeze(self) -> Freeze:
        """Behind `keyturn thaw`: a store that is a copy, or was restored."""
        from keyturn.use_cases.groups.freeze import Freeze

        return Freeze(self.databases.control, self.groups, self.environment, self.settings.banner)

    @functools.cached_property
    def cutover(self) -> Cutover:
        """Behind `operator`: how far a client has moved to its new secret."""
        from keyturn.use_cases.usage.cutover import Cutover

        return Cutover(self.clients, self.databases.usage, self.environment)

    @functools.cached_property
    def status(self) -> ReadStatus:
        """Behind `status`, and what `operator` shows."""
        from keyturn.use_cases.status_queries import ReadStatus

        return ReadStatus(self.clients, self.databases.usage, self.environment)

    @functools.cached_property
    def operate(self) -> Operate:
        """Behind `operator`."""
        from keyturn.use_cases.clients.administration import Operate

        return Operate(self.databases, self.clients, self.groups, self.environment)

    @functools.cached_property
    def invites(self) -> Invites:
        """Behind `operator`: invites devices."""
        from keyturn.use_cases.admins.create_invite import Invites

        wanted = self.settings
        quorum = wanted.policy.invite_quorum
        return Invites(self.databases, self.environment, quorum, attested=wanted.attested, banner=wanted.banner)

    @functools.cached_property
    def standing(self) -> Standing:
        """Behind `operator`: suspends, resumes and removes admins."""
        from keyturn.use_cases.admins.suspension import Standing

        quorum, banner = self.settings.policy.invite_quorum, self.settings.banner
        return Standing(self.databases, self.remove_user, self.environment, quorum, banner)

    @functools.cached_property
    def open_desk(self) -> OpenDesk:
        """What an invite's holder is judged by."""
        from keyturn.use_cases.enrolment.invite_context import OpenDesk

        return OpenDesk(self.databases.auth, self.settings.policy.invite_quorum, self.settings.denied)

    @functools.cached_property
    def approvals(self) -> Approvals:
        """Behind `enrol`: consent of admins."""
        from keyturn.use_cases.admins.approve import Approvals

        wanted = self.settings
        judge: Authoriser = self.proofs.authoriser_at("enrol") if wanted.attested else self.authoriser
        quorum = wanted.policy.invite_quorum
        return Approvals(self.databases, judge, self.environment, quorum, wanted.denied, wanted.banner)

    @functools.cached_property
    def set_token_terms(self) -> SetTokenTerms:
        """Behind `operator`: what a client's tokens say."""
        from keyturn.use_cases.clients.set_token_terms import SetTokenTerms

        return SetTokenTerms(self.clients, self.environment)

    @functools.cached_property
    def deny(self) -> Deny:
        """Behind `operator`: denylists, and the stop of everything."""
        from keyturn.use_cases.admins.edit_denylist import Deny

        return Deny(self.databases, self.environment, self.settings.banner)

    @functools.cached_property
    def enrol(self) -> Enrol:
        """Behind `enrol`."""
        from keyturn.use_cases.enrolment.join_group import Enrol

        desk = self.open_desk if self.settings.attested else None
        return Enrol(self.databases, self.groups, self.environment, self.settings.banner, desk, self.settings.denied)


_given: dict[str, Suite] = {}


def use(given: Suite | None) -> None:
    """Have this process's doors served by `given`: who embeds them wires it; None goes back to the environment."""
    _given.clear()
    if given is not None:
        _given["suite"] = given
    suite.cache_clear()


@functools.cache
def suite() -> Suite:
    """Return this process's suite: the one given, or one of the environment's settings."""
    return _given.get("suite") or Suite(from_environment(os.environ))
