"""Composition for `admin_proof`, and for every function that checks admins' proofs."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from keyturn.domain.proofs_policy import admin_rule
from keyturn.entry.config.proof_settings import (
    ENVIRONMENTS,
    LOCAL_IDENTITY,
    ProofSettings,
    proofs_from_environment,
    required_path,
)
from keyturn.entry.config.settings import SettingsError
from keyturn.use_cases.refusal_log import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.adapters.attestation.app_attest import AppAttestation
    from keyturn.adapters.attestation.app_check import AppCheckAttestation
    from keyturn.adapters.attestation.security_key import SecurityKeyAttestation
    from keyturn.adapters.authorisation.jwks import TrustedKeys
    from keyturn.adapters.identity.local_identity import LocalIdentity
    from keyturn.entry.composition.foundation import Foundation
    from keyturn.ports.attestation import Attestation
    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.identity import Identity
    from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer
    from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
    from keyturn.use_cases.admin_proof.prove import ProveAdmin
    from keyturn.verifier.failure_limits import FailureLimits


@dataclass(frozen=True)
class ProofSuite:
    """What issues admins' proofs, and what checks them."""

    base: Foundation

    @functools.cached_property
    def settings(self) -> ProofSettings:
        """Settings of proofs. `SettingsError` for a missing or unsafe one."""
        return self.base.overrides.proof_settings or proofs_from_environment(os.environ, self.base.settings.stage)

    @property
    def _address(self) -> str:
        return f"{self.base.settings.base_url}/admin_proof"

    @property
    def _audience(self) -> str:
        return f"{self.base.settings.base_url}/rotate_request"

    @functools.cached_property
    def issuer(self) -> ProofIssuer:
        """Signs proofs."""
        from keyturn.use_cases.admin_proof.proof_token import ProofIssuer

        return ProofIssuer(self.base.keys.signer, self._address, self._audience)

    @functools.cached_property
    def identity(self) -> Identity:
        """The identity provider."""
        from keyturn.adapters.identity.firebase import NAME, open_firebase

        if self.settings.identity != NAME:
            return self.local_identity_provider
        return open_firebase(self.settings.firebase_project, emulated=self.settings.emulated)

    @property
    def has_local_identity(self) -> bool:
        """Whether the test identity provider of one machine authenticates users."""
        return self.settings.identity == LOCAL_IDENTITY

    @functools.cached_property
    def local_identity_provider(self) -> LocalIdentity:
        """The test identity provider of one machine. It signs with a key of its own, never with the service's."""
        from keyturn.adapters.identity.local_identity import NAME, LocalIdentity
        from keyturn.adapters.key_file.keys import LocalKeys

        # It issues an identity for any user name, so it exists only on one machine, whose operator is trusted anyway.
        folder = self.base.settings.data
        if folder is None:
            raise SettingsError(f"{NAME} needs a data folder: it is for one machine")
        keys = LocalKeys.open_or_create(folder / f"{NAME}.json", self.base.environment.random)
        return LocalIdentity(keys.signer, f"{self.base.settings.base_url}/local_identity", self._address)

    @functools.cached_property
    def attestations(self) -> Mapping[str, Attestation]:
        """The accepted kinds of devices, one row per kind."""
        if self.base.overrides.attestations is not None:
            return self.base.overrides.attestations
        from keyturn.adapters.attestation.dev_attest import DevAttestation

        builders: Mapping[str, Callable[[], Attestation]] = {
            "app_check": self._app_check,
            "app_attest": self._app_attest,
            "webauthn": self._security_key,
            "dev_attest": DevAttestation,
        }
        return {kind: builders[kind]() for kind in self.settings.attestations}

    def _app_check(self) -> AppCheckAttestation:
        from keyturn.adapters.attestation.app_check import AppCheckAttestation
        from keyturn.adapters.authorisation.jwks import TrustedKeys, https_fetch

        settings = self.settings
        keys = TrustedKeys(https_fetch(settings.app_check_jwks), self.base.environment.monotonic)
        apps = frozenset(settings.app_check_apps)
        return AppCheckAttestation(keys, settings.app_check_project, apps, settings.app_check_issuer)

    def _app_attest(self) -> AppAttestation:
        from cryptography.x509 import load_pem_x509_certificate

        from keyturn.adapters.attestation.app_attest import AppAttestation

        settings = self.settings
        root = load_pem_x509_certificate(required_path(settings.app_attest_root).read_bytes())
        return AppAttestation(root, frozenset(settings.app_attest_apps), ENVIRONMENTS[settings.app_attest_environment])

    def _security_key(self) -> SecurityKeyAttestation:
        from keyturn.adapters.attestation.security_key import SecurityKeyAttestation, read_roots

        settings = self.settings
        roots = read_roots(required_path(settings.webauthn_roots))
        return SecurityKeyAttestation(settings.webauthn_rp_id, settings.webauthn_origins, roots)

    @functools.cached_property
    def failure_limits(self) -> FailureLimits:
        """How often one source may ask for a challenge or present one: each costs a call to the MAC key.

        These routes need no authentication, and a key service's quota belongs to the whole project: a caller that
        exhausted it here would stop the verification of secrets.
        """
        from keyturn.verifier.failure_limits import FailureLimits

        return FailureLimits(self.base.environment.monotonic)

    @functools.cached_property
    def challenges(self) -> ChallengeIssuer:
        """Issues and checks challenges."""
        from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer

        return ChallengeIssuer(self.base.keys.mac, self.base.environment.random, self.base.settings.base_url)

    @functools.cached_property
    def prove_admin(self) -> ProveAdmin:
        """Issues proofs."""
        from keyturn.use_cases.admin_proof.factors import CheckFactors
        from keyturn.use_cases.admin_proof.prove import ProveAdmin

        base = self.base
        return ProveAdmin(
            databases=base.databases,
            challenges=self.challenges,
            factors=CheckFactors(self.identity, self.attestations, base.settings.base_url),
            sealer=base.keys.sealer,
            issuer=self.issuer,
            refusals=Refusals(base.databases.usage, "admin_proof"),
            environment=base.environment,
            elapsed=base.environment.monotonic,  # every refusal takes equally long, by a clock that cannot be set
            denied=base.settings.denied,
        )

    def authoriser(self, function: str) -> Authoriser:
        """Return what checks the proofs of the commands that a function takes. Its log entries name the function."""
        from keyturn.adapters.authorisation.unattested import UnsafeAuthoriser

        if not self.base.settings.attested:
            return UnsafeAuthoriser()
        from keyturn.adapters.authorisation.attested import ProofAuthoriser

        # One audience serves both functions that check proofs: a proof is bound to the digest of one command.
        refusals = Refusals(self.base.databases.usage, function)
        rule = admin_rule(self.settings.device_methods)
        return ProofAuthoriser(self._issuer_keys, self._address, self._audience, rule, refusals)

    @functools.cached_property
    def _issuer_keys(self) -> TrustedKeys:
        from keyturn.adapters.authorisation.jwks import TrustedKeys, https_fetch

        if self.settings.proof_jwks:
            return TrustedKeys(https_fetch(self.settings.proof_jwks), self.base.environment.monotonic)
        # On one machine the issuer is in this process: its keys are read from it, always fresh.
        return TrustedKeys(
            partial(_jwks_of, self.issuer), self.base.environment.monotonic, fresh_seconds=0, pause_seconds=0
        )


def _jwks_of(issuer: ProofIssuer) -> bytes:
    return json.dumps(issuer.jwks()).encode("ascii")
