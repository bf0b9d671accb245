"""Composition for `client_token`: the verifier, its observers, access tokens and canaries."""

from __future__ import annotations

import atexit
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.entry.config.settings import Stage
from keyturn.use_cases.usage.canaries import ProveCanary
from keyturn.verifier.callers import CallerTags, Salt
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.imported_check import ImportedChecker
from keyturn.verifier.middleware.credentials import Guard
from keyturn.verifier.retired_secrets import RetiredSecretDetector
from keyturn.verifier.revoked_tokens import RevokedTokens
from keyturn.verifier.telemetry import Telemetry, in_thread
from keyturn.verifier.tokens import TokenChecker, TokenIssuer
from keyturn.verifier.verifier import Caching, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.entry.composition.foundation import Foundation, Keys
    from keyturn.ports.keys import TokenSigner


@dataclass(frozen=True)
class VerifierSuite:
    """What checks credentials and tokens in one process."""

    base: Foundation

    @functools.cached_property
    def verifier(self) -> Verifier:
        """Checks credentials."""
        base = self.base
        return base.overrides.verifier or Verifier(
            base.databases.control,
            base.keys.mac,
            base.settings.policy,
            caching=self.caching,
            failure_limits=FailureLimits(base.environment.monotonic),
            # Observers see every verdict, and cannot change one: a failing observer must not reject a valid secret.
            observers=(self.telemetry, self.retired_secrets),
            callers=self.callers,
            environment=base.environment,
            imported_checker=self.imported_checker,
            revocations=self.revocations,
        )

    @functools.cached_property
    def revocations(self) -> RevokedTokens:
        """Access tokens that their clients have revoked."""
        base = self.base
        share_seconds = base.settings.policy.max_stale_seconds if self.caching else 0
        return RevokedTokens(base.databases.usage, base.environment.monotonic, share_seconds)

    @functools.cached_property
    def guard(self) -> Guard:
        """Decides on credentials and tokens that services ask about over HTTP."""
        return Guard(self.verifier, self.token_checker)

    @functools.cached_property
    def imported_checker(self) -> ImportedChecker:
        """Checks imported credentials. All of a process share it, and with it the cap on concurrent hashes."""
        environment = self.base.environment
        return ImportedChecker(environment.monotonic, random=environment.random, wait=environment.wait)

    @functools.cached_property
    def caching(self) -> Caching | None:
        """How the verifier caches verdicts. None where it reads the store at every check."""
        base = self.base
        if base.overrides.caching is not None:
            return base.overrides.caching
        # On one machine a read costs next to nothing, and the effect of a command shows at once (docs/verifier.md).
        many = base.settings.cloud is not None and base.settings.stage is not Stage.LOCAL
        if not many or not base.settings.policy.max_stale_seconds:
            return None
        feed = base.backends.feed if base.settings.listen else None
        return Caching(base.environment.monotonic, base.environment.random, feed=feed)

    @functools.cached_property
    def retired_secrets(self) -> RetiredSecretDetector:
        """Raises an alarm when a request presents a retired secret."""
        databases, environment = self.base.databases, self.base.environment
        return RetiredSecretDetector(
            databases.control, databases.usage, environment.monotonic, self._background, environment.sleep
        )

    @functools.cached_property
    def telemetry(self) -> Telemetry:
        """Counts accepted credentials in the database `usage`, and writes the last counts when the process ends."""
        base, resolve_tag = self.base, self.callers.resolve
        telemetry = Telemetry(
            base.databases.usage, base.environment, base.environment.monotonic, self._background, resolve_tag
        )
        # A process that ends in an orderly way writes its last counts. A killed one loses those since its last flush.
        atexit.register(telemetry.close)
        return telemetry

    @property
    def _background(self) -> Callable[[Callable[[], None]], None]:
        return self.base.overrides.background or in_thread

    @functools.cached_property
    def salt(self) -> Salt:
        """The salt of callers' tags and canaries' nonces."""
        return Salt(self.base.databases.control, self.base.environment.monotonic)

    @functools.cached_property
    def callers(self) -> CallerTags:
        """Tags of callers: keyed hashes that name no address."""
        return CallerTags(self.salt)

    @functools.cached_property
    def canary(self) -> ProveCanary:
        """Takes instances' proofs that they hold a pending secret."""
        base = self.base
        return ProveCanary(base.databases.control, base.databases.usage, base.settings.policy, base.environment)

    @functools.cached_property
    def canary_limits(self) -> FailureLimits:
        """How often one source may ask for a canary's nonce, or answer: a whole fleet may start at once."""
        return FailureLimits(self.base.environment.monotonic, burst=500, per_second=5.0)

    @functools.cached_property
    def tokens(self) -> TokenIssuer:
        """Issues access tokens."""
        settings = self.base.settings
        return TokenIssuer(
            self.token_signers,
            f"{settings.base_url}/client_token",
            settings.audience,
            self.base.environment.random,
            settings.token_algorithm,
        )

    @functools.cached_property
    def token_signers(self) -> Mapping[str, TokenSigner]:
        """The keys that sign access tokens, by algorithm: the deployment's, or those of a file that settings name."""
        # A call to KMS for each token costs time and quota. A stolen key file forges tokens, and no credentials.
        path = self.base.settings.sign_key_file
        if path is None:
            return _by_algorithm(self.base.keys)
        from keyturn.adapters.key_file.file import KeyFile
        from keyturn.adapters.key_file.keys import LocalKeys

        return _by_algorithm(LocalKeys(KeyFile(path, mounted=True), self.base.environment.random))

    @functools.cached_property
    def token_checker(self) -> TokenChecker:
        """Checks access tokens."""
        # The checker asks the issuer in this process for its keys, so a new signing key needs no restart.
        tokens = self.tokens
        return TokenChecker(self.verifier, lambda: tokens.jwks()["keys"], tokens.issuer, tokens.audience)

    def close(self) -> None:
        """Write the counts that are not written yet, and stop listening to changes. The verifier is not used again."""
        # A part that was never used has nothing to write: `vars` holds only the properties that were built.
        if "telemetry" in vars(self):
            self.telemetry.close()
        if "verifier" in vars(self):
            self.verifier.close()


def _by_algorithm(keys: Keys) -> Mapping[str, TokenSigner]:
    return {signer.algorithm: signer for signer in (keys.signer, keys.rs256_signer)}
