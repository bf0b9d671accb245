"""Composition for `rotate_request`: signed commands of admins."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.use_cases.commands.execute import AcceptEvent
from keyturn.use_cases.commands.execute_envelope import AcceptEnvelope
from keyturn.use_cases.commands.imported_secrets import ImportedSecrets
from keyturn.use_cases.refusal_log import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.domain.model import Version
    from keyturn.entry.composition.foundation import Foundation
    from keyturn.entry.composition.proof_suite import ProofSuite

_FUNCTION = "rotate_request"


@dataclass(frozen=True)
class CommandSuite:
    """What executes admins' commands."""

    base: Foundation
    proofs: ProofSuite
    matches_imported: Callable[[str, Version], bool]
    """Whether a value is the secret of an imported version."""

    @functools.cached_property
    def accept_event(self) -> AcceptEvent:
        """Executes a signed event."""
        base = self.base
        # Refusals are logged in `usage`: a refused request must not be able to slow commits in `control` down.
        refusals = Refusals(base.databases.usage, _FUNCTION)
        return AcceptEvent(
            base.clients,
            self.proofs.authoriser(_FUNCTION),
            base.environment,
            base.settings.denied,
            refusals,
            ImportedSecrets(self.matches_imported),
        )

    @functools.cached_property
    def accept(self) -> AcceptEnvelope:
        """Executes a signed event, or an MLS message that encloses one."""
        return AcceptEnvelope(self.accept_event, self.base.groups)
