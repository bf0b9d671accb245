"""Build a verifier from the settings of a deployment: what `from keyturn.verifier import Verifier` gives.

It stands apart from verifier.py because it looks up to the composition of the whole suite, which itself builds on
verifier.py. Nothing but the facade imports this module.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Self

from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import SettingsError, from_environment
from keyturn.ports.effects import monotonic
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServiceVerifier(Verifier):
    """The verifier of a service of your own."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, *, telemetry: bool = True) -> Self:
        """Return a verifier for the deployment that the KEYTURN_ variables name (docs/settings.md).

        It counts uses and detects retired secrets, for which it needs write access to the database usage. Without that
        access pass `telemetry=False`. The last counts are written when the process ends. Tokens that were revoked at
        `/revoke` are refused with access to that database only.

        `SettingsError` if a variable is malformed or a client library is missing. `Unavailable` if none names a store.
        `StoreUnavailable` or `KeyUnavailable` if the data folder cannot be opened.
        """
        settings = from_environment(os.environ if environment is None else environment)
        # The adapters import Google's libraries with their first call, so a missing one would only show in a request.
        if settings.cloud is not None and importlib.util.find_spec("grpc") is None:
            message = "KEYTURN_PROJECT needs Google's client libraries: pip install 'keyturn[verifier,gcp]'"
            raise SettingsError(message)
        suite = Suite(settings)
        verification = suite.verification
        return cls(
            suite.databases.control,
            suite.keys.mac,
            settings.policy,
            caching=verification.caching,
            failure_limits=FailureLimits(monotonic),
            observers=(verification.telemetry, verification.retired_secrets) if telemetry else (),
            callers=verification.callers if telemetry else None,
            revocations=verification.revocations if telemetry else None,
        )
