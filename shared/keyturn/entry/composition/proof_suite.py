"""Wiring of proofs, by hand: the door `admin_proof` and the authoriser that believes it; built on first use."""

from __future__ import annotations

import functools
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.entry.composition.suite import suite
from keyturn.entry.config.proof_settings import ENVIRONMENTS, ProofSettings, proofs_from_environment
from keyturn.entry.config.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from keyturn.adapters.attestation.app_attest import AppAttestation
    from keyturn.adapters.attestation.app_check import AppCheckAttestation
    from keyturn.adapters.attestation.security_key import SecurityKeyAttestation
    from keyturn.adapters.authorisation.attested import ProofAuthoriser
    from keyturn.adapters.authorisation.jwks import TrustedKeys
    from keyturn.adapters.identity.local_identity import LocalIdentity
    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.attestation import Attestation
    from keyturn.ports.identity import Identity
    from keyturn.use_cases.admin_proof.challenge import Challenges
    from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
    from keyturn.use_cases.admin_proof.prove import ProveAdmin
    from keyturn.use_cases.enrolment.register_device import Register
    from keyturn.verifier.failure_limits import Budgets


@dataclass(frozen=True)
class ProofSuite:
    """All that proofs are made and judged by, in one deployment."""

    suite: Suite
    settings: ProofSettings

    @property
    def _address(self) -> str:
        return f"{self.suite.settings.base_url}/admin_proof"

    @property
    def _audience(self) -> str:
        return f"{self.suite.settings.base_url}/rotate_request"

    @functools.cached_property
    def issuer(self) -> ProofIssuer:
        """What signs proofs."""
        from keyturn.use_cases.admin_proof.proof_token import ProofIssuer

        return ProofIssuer(self.suite.keys.signer, self._address, self._audience)

    @functools.cached_property
    def identity(self) -> Identity:
        """Who says who somebody is."""
        from keyturn.adapters.identity.firebase import NAME, open_firebase

        if self.settings.identity != NAME:
            return self.local_authority
        return open_firebase(self.settings.firebase_project, emulated=self.settings.emulated)

    @functools.cached_property
    def local_authority(self) -> LocalIdentity:
        """The test authority of one machine; its key is no key of the service's."""
        from keyturn.adapters.identity.local_identity import NAME, LocalIdentity
        from keyturn.adapters.key_file.keys import LocalKeys

        folder = self.suite.settings.data
        if folder is None:
            raise SettingsError(f"{NAME} needs a data folder: it is for one machine")
        keys = LocalKeys.open_or_create(folder / f"{NAME}.json", self.suite.environment.random)
        return LocalIdentity(keys.signer, f"{self.suite.settings.base_url}/local_identity", self._address)

    @functools.cached_property
    def attestations(self) -> Mapping[str, Attestation]:
        """The kinds of devices that count: one row a kind."""
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

        wanted = self.settings
        keys = TrustedKeys(https_fetch(wanted.app_check_jwks), time.monotonic)
        apps = frozenset(wanted.app_check_apps)
        return AppCheckAttestation(keys, wanted.app_check_project, apps, wanted.app_check_issuer)

    def _app_attest(self) -> AppAttestation:
        from cryptography.x509 import load_pem_x509_certificate

        from keyturn.adapters.attestation.app_attest import AppAttestation

        wanted = self.settings
        root = load_pem_x509_certificate(cast("Path", wanted.app_attest_root).read_bytes())
        return AppAttestation(root, frozenset(wanted.app_attest_apps), ENVIRONMENTS[wanted.app_attest_environment])

    def _security_key(self) -> SecurityKeyAttestation:
        from keyturn.adapters.attestation.security_key import SecurityKeyAttestation, read_roots

        wanted = self.settings
        roots = read_roots(cast("Path", wanted.webauthn_roots))
        return SecurityKeyAttestation(wanted.webauthn_rp_id, wanted.webauthn_origins, roots)

    @functools.cached_property
    def budgets(self) -> Budgets:
        """How often a source may ask for a challenge, or show one: each costs a call to the MAC key, asked by anybody.

        The quota of a key service is the whole project's: who used it up here would keep secrets from being verified.
        """
        from keyturn.verifier.failure_limits import Budgets

        return Budgets(time.monotonic)

    @functools.cached_property
    def challenges(self) -> Challenges:
        """What makes and checks challenges; it asks for no factor."""
        from keyturn.use_cases.admin_proof.challenge import Challenges

        whole = self.suite
        return Challenges(whole.keys.mac, whole.environment.random, whole.settings.base_url)

    @functools.cached_property
    def prove_admin(self) -> ProveAdmin:
        """Behind `admin_proof`."""
        from keyturn.use_cases.admin_proof.factors import Factors
        from keyturn.use_cases.admin_proof.prove import ProveAdmin
        from keyturn.use_cases.refusal_log import Refusals

        whole, url = self.suite, self.suite.settings.base_url
        return ProveAdmin(
            databases=whole.databases,
            challenges=self.challenges,
            factors=Factors(self.identity, self.attestations, url),
            sealer=whole.keys.sealer,
            issuer=self.issuer,
            refusals=Refusals(whole.databases.usage, "admin_proof"),
            environment=whole.environment,
            elapsed=time.monotonic,
            denied=whole.settings.denied,
        )

    @functools.cached_property
    def register(self) -> Register:
        """Behind `enrol`: registers admins and their devices."""
        from keyturn.use_cases.enrolment.register_device import Register
        from keyturn.use_cases.refusal_log import Refusals

        whole = self.suite
        return Register(
            databases=whole.databases,
            open_desk=whole.open_desk,
            challenges=self.challenges,
            identity=self.identity,
            attestations=self.attestations,
            sealer=whole.keys.sealer,
            refusals=Refusals(whole.databases.usage, "enrol"),
            environment=whole.environment,
            service=whole.settings.base_url,
            banner=whole.settings.banner,
        )

    @functools.cached_property
    def authoriser(self) -> ProofAuthoriser:
        """What judges the proof that comes with an act at `rotate_request`."""
        return self.authoriser_at("rotate_request")

    def authoriser_at(self, door: str) -> ProofAuthoriser:
        """Return what judges proofs at a door; which one stands in the evidence."""
        from keyturn.adapters.authorisation.attested import ProofAuthoriser
        from keyturn.domain.proofs_policy import admin_rule
        from keyturn.use_cases.refusal_log import Refusals

        rule = admin_rule(self.settings.device_methods)
        refusals = Refusals(self.suite.databases.usage, door)
        return ProofAuthoriser(self._keys(), self._address, self._audience, rule, refusals)

    def _keys(self) -> TrustedKeys:
        from keyturn.adapters.authorisation.jwks import TrustedKeys, https_fetch

        if self.settings.proof_jwks:
            return TrustedKeys(https_fetch(self.settings.proof_jwks), time.monotonic)
        at_hand = lambda: json.dumps(self.issuer.jwks()).encode("ascii")  # noqa: E731 - as short as it is
        return TrustedKeys(at_hand, time.monotonic, fresh_seconds=0, pause_seconds=0)


def proofs() -> ProofSuite:
    """Return this process's proofs, kept with its suite."""
    whole = suite()
    kept = vars(whole)
    if "proofs" not in kept:
        kept["proofs"] = ProofSuite(whole, proofs_from_environment(os.environ, whole.settings.stage))
    return cast("ProofSuite", kept["proofs"])
