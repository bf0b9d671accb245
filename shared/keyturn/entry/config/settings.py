"""Settings: one frozen value, the only reader of the environment; an absent setting has a working default."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyturn.adapters.authorisation.attested import NAME as PROOF_AUTHORISER
from keyturn.adapters.authorisation.unattested import NAME as UNSAFE_AUTHORISER
from keyturn.domain.policy import SWITCHES, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "KEYTURN_"


class Stage(StrEnum):
    """What a deployment is for: `local` is one machine, `trial` one listed project, `production` refuses the unsafe."""

    LOCAL = "local"
    TRIAL = "trial"
    PRODUCTION = "production"


class SettingsError(Exception):
    """A setting is malformed, or unsafe for the stage; the text names settings, never their values."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A project and what of it is ours: three Firestore databases and three KMS keys, by their full resource names."""

    project: str
    control: str
    auth: str
    usage: str
    mac_key: str
    seal_key: str
    sign_key: str
    firestore_emulator: str | None = None
    """`address:port`; the other two likewise. Stage `production` refuses them."""
    pubsub_emulator: str | None = None
    kms_emulator: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A deployment's settings. `base_url` is where its doors are reached from outside, without a trailing slash."""

    stage: Stage = Stage.PRODUCTION
    data: Path | None = None
    """The data folder of one machine; None where the cloud's store and keys are used."""
    base_url: str = "http://127.0.0.1:8787"
    audience: str = "keyturn"
    sign_key_file: Path | None = None
    """A key file whose ES256 key signs access tokens in place of KMS (docs/verifier.md: what that costs)."""
    authoriser: str = PROOF_AUTHORISER
    policy: Policy = field(default_factory=Policy)
    denied: frozenset[str] = field(default=frozenset())
    cloud: Cloud | None = None
    relays: tuple[str, ...] = ()
    """Addresses (ws://, wss://) of outside Nostr relays that what the service says is published at, too."""
    trial_project: str = ""
    """The one project that may be in stage `trial`."""
    listen: bool = True
    """Whether a verifier that keeps verdicts listens to Firestore's changes besides polling for them."""
    suspicious: tuple[str, ...] = ()
    """Names of variables that production must not see: emulators and debug flags."""

    @property
    def attested(self) -> bool:
        """Whether admins prove who they are: only one machine may do without, by name."""
        return self.authoriser != UNSAFE_AUTHORISER

    @property
    def banner(self) -> str:
        """What stands in every answer and audit entry of a stage that is not to be trusted like production."""
        return f"TRIAL: {self.authoriser}" if self.stage is Stage.TRIAL else ""

    def checked(self) -> Settings:
        """Return these settings if they are safe for their stage; `SettingsError` names everything that is not."""
        if self.authoriser not in {UNSAFE_AUTHORISER, PROOF_AUTHORISER}:
            raise SettingsError(f"{PREFIX}AUTHORISER names no authoriser")
        unsafe = list(self.suspicious) if self.stage is Stage.PRODUCTION else []
        if self.stage is not Stage.LOCAL and not self.attested:
            unsafe.append(f"authoriser {self.authoriser}")
        if self.stage is not Stage.LOCAL and self.data is not None:
            unsafe.append(f"local store and key file ({PREFIX}DATA)")
        if self.stage is Stage.TRIAL and (self.cloud is None or self.cloud.project != self.trial_project):
            unsafe.append(f"any project but the one that {PREFIX}TRIAL_PROJECT lists")
        if self.stage is Stage.PRODUCTION and any(not url.startswith("wss://") for url in self.relays):
            unsafe.append(f"relays without TLS ({PREFIX}RELAYS)")
        if unsafe:
            message = f"stage {self.stage.value} refuses: {', '.join(unsafe)}"
            raise SettingsError(message)
        return self


_CLOUD = {
    "PROJECT": "project",
    "DATABASE_CONTROL": "control",
    "DATABASE_AUTH": "auth",
    "DATABASE_USAGE": "usage",
    "MAC_KEY": "mac_key",
    "SEAL_KEY": "seal_key",
    "SIGN_KEY": "sign_key",
}
_EMULATORS = {
    "FIRESTORE_EMULATOR_HOST": "firestore_emulator",
    "PUBSUB_EMULATOR_HOST": "pubsub_emulator",
    f"{PREFIX}KMS_EMULATOR_HOST": "kms_emulator",
}
_DEBUG = ("FLASK_DEBUG", "FLASK_ENV", "PYTHONDEVMODE", "GRPC_VERBOSITY")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings that KEYTURN_* variables give; `SettingsError` for a malformed or unsafe one."""
    found = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
    defaults = Settings()
    try:
        return Settings(
            stage=Stage(found.get("STAGE", Stage.PRODUCTION.value)),
            data=Path(found["DATA"]) if "DATA" in found else None,
            base_url=found.get("BASE_URL", defaults.base_url).rstrip("/"),
            audience=found.get("AUDIENCE", defaults.audience),
            sign_key_file=Path(found["SIGN_KEY_FILE"]) if "SIGN_KEY_FILE" in found else None,
            authoriser=found.get("AUTHORISER", defaults.authoriser),
            policy=_policy(found),
            denied=frozenset(found.get("DENIED", "").split()),
            cloud=_cloud(found, environment),
            relays=_relays(found),
            trial_project=found.get("TRIAL_PROJECT", ""),
            listen=bool(int(found.get("LISTEN", "1"))),
            suspicious=tuple(sorted(name for name in environment if name.endswith("_EMULATOR_HOST") or name in _DEBUG)),
        ).checked()
    except ValueError:
        raise SettingsError("a KEYTURN_ variable is not of its form") from None


def _cloud(found: Mapping[str, str], environment: Mapping[str, str]) -> Cloud | None:
    if "PROJECT" not in found:
        return None
    # A door has the keys that it uses and no others: what is not named is asked for in vain.
    named = {field: found.get(name, "") for name, field in _CLOUD.items()}
    emulators = {field: environment[name] for name, field in _EMULATORS.items() if environment.get(name)}
    return Cloud(**named, **emulators)


def _relays(found: Mapping[str, str]) -> tuple[str, ...]:
    urls = tuple(found.get("RELAYS", "").split())
    parts = [urlsplit(url) for url in urls]
    if not all(part.scheme in {"ws", "wss"} and part.hostname and "@" not in part.netloc for part in parts):
        raise SettingsError(f"{PREFIX}RELAYS is not a list of ws:// or wss:// addresses, without names and passwords")
    if urls and importlib.util.find_spec("nostr_sdk") is None:
        raise SettingsError(f"{PREFIX}RELAYS needs nostr-sdk, which is not installed: its extra `relay` has it")
    return urls


def _policy(found: Mapping[str, str]) -> Policy:
    names = {name: name.removeprefix("POLICY_").lower() for name in found if name.startswith("POLICY_")}
    if not set(names.values()) <= set(Policy.__dataclass_fields__) - SWITCHES:
        raise SettingsError("a KEYTURN_POLICY_ variable names no policy")
    given: dict[str, Any] = {policy: int(found[name]) for name, policy in names.items()}
    return replace(Policy(), **given)


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give these settings: what a starter hands to the doors. None of them is a secret."""
    changed = {
        name: getattr(settings.policy, name)
        for name in Policy.__dataclass_fields__
        if getattr(settings.policy, name) != getattr(Policy(), name)
    }
    return {
        f"{PREFIX}STAGE": settings.stage.value,
        **({f"{PREFIX}DATA": str(settings.data)} if settings.data else {}),
        f"{PREFIX}BASE_URL": settings.base_url,
        f"{PREFIX}AUDIENCE": settings.audience,
        **({f"{PREFIX}SIGN_KEY_FILE": str(settings.sign_key_file)} if settings.sign_key_file else {}),
        f"{PREFIX}AUTHORISER": settings.authoriser,
        **(_cloud_environment(settings.cloud) if settings.cloud else {}),
        **({f"{PREFIX}RELAYS": " ".join(settings.relays)} if settings.relays else {}),
        **({} if settings.listen else {f"{PREFIX}LISTEN": "0"}),
        **({f"{PREFIX}TRIAL_PROJECT": settings.trial_project} if settings.trial_project else {}),
        **{f"{PREFIX}POLICY_{name.upper()}": str(int(value)) for name, value in changed.items()},
    }


def _cloud_environment(cloud: Cloud) -> dict[str, str]:
    named = {f"{PREFIX}{name}": getattr(cloud, field) for name, field in _CLOUD.items()}
    return {**named, **{name: host for name, field in _EMULATORS.items() if (host := getattr(cloud, field))}}
