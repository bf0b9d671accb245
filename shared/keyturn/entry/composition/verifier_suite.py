"""Wiring of what checks credentials, by hand: the verifier, its observers, tokens and canaries; built on first use."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.errors import Unavailable
from keyturn.entry.config.settings import Settings, Stage
from keyturn.ports.effects import Environment

if TYPE_CHECKING:
    from keyturn.adapters.google_kms.keys import CloudKeys
    from keyturn.adapters.key_file.keys import LocalKeys
    from keyturn.entry.composition.backends import CloudParts, FolderParts
    from keyturn.ports.keys import Signer
    from keyturn.ports.store import Databases
    from keyturn.use_cases.usage.canaries import ProveCanary
    from keyturn.verifier.callers import Callers, Salt
    from keyturn.verifier.failure_limits import Budgets
    from keyturn.verifier.honeytoken import Honeytoken
    from keyturn.verifier.telemetry import Telemetry
    from keyturn.verifier.tokens import TokenChecker, Tokens
    from keyturn.verifier.verifier import Caching, Verifier


@dataclass(frozen=True)
class VerifierSuite:
    """What a deployment checks credentials with, and the store and keys that this stands on."""

    settings: Settings
    environment: Environment = field(default_factory=lambda: Environment(os.urandom, time.sleep))

    @functools.cached_property
    def parts(self) -> FolderParts | CloudParts:
        """What everything stands on, as settings say."""
        from keyturn.entry.composition.backends import CloudParts, FolderParts

        if self.settings.cloud is not None:
            return CloudParts(self.settings.cloud, self.environment.random)
        if self.settings.data is not None:
            return FolderParts(self.settings.data, self.environment.random)
        raise Unavailable("no_store", "This deployment names neither a project nor a data folder.")

    @functools.cached_property
    def databases(self) -> Databases:
        """The three databases."""
        return self.parts.databases

    @functools.cached_property
    def keys(self) -> LocalKeys | CloudKeys:
        """MAC, sealing and signing keys."""
        return self.parts.keys

    @functools.cached_property
    def verifier(self) -> Verifier:
        """Behind `client_token`: checks credentials."""
        from keyturn.verifier.failure_limits import Budgets
        from keyturn.verifier.verifier import Verifier, monotonic

        policy = self.settings.policy
        return Verifier(
            self.databases.control,
            self.keys.mac,
            policy,
            caching=self.caching,
            budgets=Budgets(monotonic),
            observers=(self.telemetry, self.honeytoken),
        )

    @functools.cached_property
    def caching(self) -> Caching | None:
        """How the verifier keeps verdicts; None where it reads each time."""
        from keyturn.verifier.verifier import Caching

        # On one machine a read costs next to nothing, and what a command did shows at once (docs/verifier.md).
        many = self.settings.cloud is not None and self.settings.stage is not Stage.LOCAL
        feed = self.parts.feed if many and self.settings.listen else None
        return Caching(feed=feed) if many and self.settings.policy.max_stale_seconds else None

    @functools.cached_property
    def honeytoken(self) -> Honeytoken:
        """Beside the verifier: raises an alarm when somebody presents a retired secret."""
        from keyturn.verifier.honeytoken import Honeytoken
        from keyturn.verifier.verifier import monotonic

        return Honeytoken(self.databases.control, self.databases.usage, monotonic)

    @functools.cached_property
    def telemetry(self) -> Telemetry:
        """Counts what the verifier accepts, and writes it to the database usage; says goodbye when the process ends."""
        import atexit

        from keyturn.verifier.telemetry import Telemetry
        from keyturn.verifier.verifier import monotonic

        resolved = self.callers.resolved
        telemetry = Telemetry(self.databases.usage, self.environment, monotonic, resolved=resolved)
        atexit.register(telemetry.close)
        return telemetry

    @functools.cached_property
    def salt(self) -> Salt:
        """What callers' tags and canaries' nonces are made under."""
        from keyturn.verifier.callers import Salt
        from keyturn.verifier.verifier import monotonic

        return Salt(self.databases.control, monotonic)

    @functools.cached_property
    def callers(self) -> Callers:
        """Tags of who presents credentials."""
        from keyturn.verifier.callers import Callers

        return Callers(self.salt)

    @functools.cached_property
    def canary(self) -> ProveCanary:
        """Behind `client_token`, too: instances prove that they hold a secret that is to come."""
        from keyturn.use_cases.usage.canaries import ProveCanary

        return ProveCanary(self.databases.control, self.databases.usage, self.settings.policy, self.environment)

    @functools.cached_property
    def canary_budgets(self) -> Budgets:
        """How often a source may ask for a canary's nonce, or answer: a whole fleet may start at once."""
        from keyturn.verifier.failure_limits import Budgets
        from keyturn.verifier.verifier import monotonic

        return Budgets(monotonic, burst=500, per_second=5.0)

    @functools.cached_property
    def tokens(self) -> Tokens:
        """Behind `client_token`: issues tokens."""
        from keyturn.verifier.tokens import Tokens

        issuer = f"{self.settings.base_url}/client_token"
        return Tokens(self.token_signer, issuer, self.settings.audience, self.environment.random)

    @functools.cached_property
    def token_signer(self) -> Signer:
        """What signs access tokens: the deployment's keys, or a key file where settings name one."""
        if self.settings.sign_key_file is None:
            return self.keys.signer
        from keyturn.adapters.key_file.file import KeyFile
        from keyturn.adapters.key_file.keys import LocalKeys

        return LocalKeys(KeyFile(self.settings.sign_key_file), self.environment.random).signer

    @functools.cached_property
    def token_checker(self) -> TokenChecker:
        """Behind `client_token`, too: checks tokens."""
        from keyturn.verifier.tokens import TokenChecker

        tokens = self.tokens
        return TokenChecker(self.verifier, lambda: tokens.jwks()["keys"], tokens.issuer, tokens.audience)

    def close(self) -> None:
        """Write what this process still has to write; nothing more is expected of it."""
        if "telemetry" in vars(self):
            self.telemetry.close()
        if "verifier" in vars(self):
            self.verifier.close()
