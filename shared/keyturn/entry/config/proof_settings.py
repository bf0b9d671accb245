"""Settings of proofs: the identity provider, and the accepted kinds of devices. Production refuses unsafe ones by name.

KEYTURN_IDENTITY            firebase | local_identity
KEYTURN_FIREBASE_PROJECT    the project's id
KEYTURN_ATTESTATIONS        app_check app_attest webauthn dev_attest: the accepted kinds
KEYTURN_APP_CHECK_PROJECT   the project's number      KEYTURN_APP_CHECK_APPS   app ids
KEYTURN_APP_CHECK_ISSUER    in front of the number    KEYTURN_APP_CHECK_JWKS   address of its keys
KEYTURN_APP_ATTEST_ROOT     path of Apple's root      KEYTURN_APP_ATTEST_APPS  <team>.<bundle>
KEYTURN_APP_ATTEST_ENVIRONMENT  production | development
KEYTURN_WEBAUTHN_RP_ID      domain                    KEYTURN_WEBAUTHN_ORIGINS https://…
KEYTURN_WEBAUTHN_ROOTS      folder of <format>.pem: the accepted attestation formats
KEYTURN_PROOF_JWKS          address of admin_proof's keys, not needed on one machine
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.adapters.attestation import app_attest, app_check, dev_attest, security_key
from keyturn.adapters.identity import firebase, local_identity
from keyturn.entry.config.settings import Stage
from keyturn.entry.config.variables import PREFIX, SettingsError, Variables, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOCAL_IDENTITY = local_identity.NAME
UNSAFE = (dev_attest.NAME, local_identity.NAME)
NEEDS = {
    firebase.NAME: ("firebase_project",),
    local_identity.NAME: (),
    app_check.NAME: ("app_check_project", "app_check_apps"),
    app_attest.NAME: ("app_attest_root", "app_attest_apps"),
    security_key.NAME: ("webauthn_rp_id", "webauthn_origins", "webauthn_roots"),
    dev_attest.NAME: (),
}
"""The settings that each identity provider and kind of device requires."""
AMR = {
    app_check.NAME: "app_attest",
    app_attest.NAME: "app_attest",
    security_key.NAME: "hwk",
    dev_attest.NAME: "dev_attest",
}
"""The value in a proof's `amr` (RFC 8176) for each kind of device."""
IDENTITIES = (firebase.NAME, local_identity.NAME)
ENVIRONMENTS = {"production": app_attest.PRODUCTION, "development": app_attest.DEVELOPMENT}


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """A deployment's settings of proofs. The module's table explains them."""

    identity: str = firebase.NAME
    attestations: tuple[str, ...] = ()
    firebase_project: str = ""
    app_check_project: str = ""
    app_check_apps: tuple[str, ...] = ()
    app_check_issuer: str = app_check.ISSUER
    app_check_jwks: str = app_check.JWKS_ADDRESS
    app_attest_root: Path | None = None
    app_attest_apps: tuple[str, ...] = ()
    app_attest_environment: str = "production"
    webauthn_rp_id: str = ""
    webauthn_origins: tuple[str, ...] = ()
    webauthn_roots: Path | None = None
    proof_jwks: str = ""
    emulated: bool = False

    @property
    def device_methods(self) -> tuple[str, ...]:
        """The values that a proof's `amr` may have for its device."""
        return tuple(dict.fromkeys(AMR[kind] for kind in self.attestations))

    def checked(self, stage: Stage) -> ProofSettings:
        """Return these settings if they are complete, and safe for the stage. `SettingsError` names the others."""
        kinds = (self.identity, *self.attestations)
        if self.identity not in IDENTITIES:
            raise refusal("IDENTITY", f"must be one of {', '.join(IDENTITIES)}")
        if not AMR.keys() >= set(self.attestations):
            raise refusal("ATTESTATIONS", f"must be a list of {', '.join(AMR)}")
        if self.app_attest_environment not in ENVIRONMENTS:
            raise refusal("APP_ATTEST_ENVIRONMENT", f"must be one of {', '.join(ENVIRONMENTS)}")
        absent_settings = [
            f"{PREFIX}{name.upper()}" for kind in kinds for name in NEEDS[kind] if not getattr(self, name)
        ]
        if absent_settings:
            raise SettingsError(f"settings are missing: {', '.join(absent_settings)}")
        # A trial may use the test providers, on purpose: its banner says so in every response.
        unsafe = [kind for kind in kinds if kind in UNSAFE] + ["an emulator's address"] * self.emulated
        if stage is Stage.PRODUCTION and unsafe:
            raise SettingsError(f"stage {stage.value} refuses: {', '.join(unsafe)}")
        return self


def required_path(path: Path | None) -> Path:
    """Return a path that `checked` requires. `SettingsError` if it is absent after all."""
    if path is None:
        raise SettingsError("a setting that names a file or folder is missing")
    return path


def proofs_from_environment(environment: Mapping[str, str], stage: Stage) -> ProofSettings:
    """Return the settings of the environment. `SettingsError` for a missing or unsafe one."""
    variables = Variables.of(environment)
    if stage is Stage.LOCAL:
        variables = Variables({**_ONE_MACHINE, **variables.values})
    texts = {name: variables.text(name.upper()) for name in _TEXTS if name.upper() in variables}
    lists = {name: variables.words(name.upper()) for name in _LISTS}
    root, roots = variables.path("APP_ATTEST_ROOT"), variables.path("WEBAUTHN_ROOTS")
    # Firebase's SDK trusts unsigned ID tokens as soon as its emulator's variable is set, so every such variable counts.
    emulated = any(name.endswith("_EMULATOR_HOST") for name in environment)
    settings = ProofSettings(**texts, **lists, app_attest_root=root, webauthn_roots=roots, emulated=emulated)  # type: ignore[arg-type]  # each name has its own type
    return settings.checked(stage)


_ONE_MACHINE = {"IDENTITY": local_identity.NAME, "ATTESTATIONS": dev_attest.NAME}
"""The defaults of stage `local`: complete proofs that need no outside service."""
_TEXTS = (
    "identity",
    "firebase_project",
    "app_check_project",
    "app_check_issuer",
    "app_check_jwks",
    "app_attest_environment",
    "webauthn_rp_id",
    "proof_jwks",
)
_LISTS = ("attestations", "app_check_apps", "app_attest_apps", "webauthn_origins")
