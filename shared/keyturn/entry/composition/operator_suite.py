"""Composition for `operator`: the administration of clients, groups and admins."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.use_cases.admins.create_invite import CreateInvite
from keyturn.use_cases.admins.edit_denylist import EditDenylists
from keyturn.use_cases.admins.suspension import ManageAdmins
from keyturn.use_cases.clients.administration import Administration
from keyturn.use_cases.clients.import_clients import ImportClients
from keyturn.use_cases.clients.leak import Leak
from keyturn.use_cases.clients.set_access import SetAccess
from keyturn.use_cases.clients.settings import SetPolicy, SetTokenTerms
from keyturn.use_cases.groups.remove_user import RemoveUser

if TYPE_CHECKING:
    from keyturn.entry.composition.foundation import Foundation


@dataclass(frozen=True)
class OperatorSuite:
    """What the operator may do."""

    base: Foundation

    @functools.cached_property
    def administration(self) -> Administration:
        """Adds clients and groups, and lists them."""
        base = self.base
        return Administration(base.databases, base.clients, base.groups, base.environment)

    @functools.cached_property
    def import_clients(self) -> ImportClients:
        """Imports clients with their bcrypt hashes."""
        return ImportClients(self.base.clients, self.base.environment)

    @functools.cached_property
    def set_policy(self) -> SetPolicy:
        """Changes a client's own policy."""
        return SetPolicy(self.base.clients, self.base.environment)

    @functools.cached_property
    def set_token_terms(self) -> SetTokenTerms:
        """Changes the audience and scopes of a client's access tokens."""
        return SetTokenTerms(self.base.clients, self.base.environment)

    @functools.cached_property
    def set_access(self) -> SetAccess:
        """Changes until when and from where a client's credentials are accepted."""
        return SetAccess(self.base.clients, self.base.environment)

    @functools.cached_property
    def leak(self) -> Leak:
        """Finds the version of a leaked secret, and revokes it."""
        return Leak(self.base.clients, self.base.environment)

    @functools.cached_property
    def remove_user(self) -> RemoveUser:
        """Removes a user from a group."""
        base = self.base
        return RemoveUser(base.clients, base.groups, base.environment)

    @functools.cached_property
    def invites(self) -> CreateInvite:
        """Creates invites."""
        # Only attested admins can approve an invite, so without attestation the quorum is ignored.
        base, settings = self.base, self.base.settings
        quorum = settings.policy.invite_quorum
        return CreateInvite(
            base.databases, base.environment, quorum, attested=settings.attested, banner=settings.banner
        )

    @functools.cached_property
    def suspension(self) -> ManageAdmins:
        """Suspends, resumes and removes admins, and revokes their devices."""
        base, settings = self.base, self.base.settings
        quorum = settings.policy.invite_quorum
        return ManageAdmins(base.databases, self.remove_user, base.environment, quorum, settings.banner)

    @functools.cached_property
    def denylist(self) -> EditDenylists:
        """Edits the denylists, and stops and restarts the deployment."""
        return EditDenylists(self.base.databases, self.base.environment, self.base.settings.banner)
