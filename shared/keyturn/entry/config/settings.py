"""Settings: one frozen value, and the only reader of the environment. An absent setting has a working default."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyturn.domain.policy import DEPLOYMENT_BOUNDS, Policy
from keyturn.entry.config.variables import POLICIES, PREFIX, SettingsError, Variables, check_names, refusal
from keyturn.ports.authorisation import ATTESTED_ADMIN, UNSAFE_NO_ATTESTATION
from keyturn.proofs.jwk import ALGORITHMS, ES256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["PREFIX", "Cloud", "Settings", "SettingsError", "Stage", "from_environment", "to_environment"]

_AUDIENCE = re.compile(r"[!-~]{1,256}")
_AUTHORISERS = (ATTESTED_ADMIN, UNSAFE_NO_ATTESTATION)


class Stage(StrEnum):
    """The purpose of a deployment: one machine, one listed trial project, or production with safe settings only."""

    LOCAL = "local"
    TRIAL = "trial"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A Google Cloud project with the suite's three Firestore databases and three KMS keys, by full resource names."""

    project: str
    control: str
    auth: str
    usage: str
    mac_key: str
    seal_key: str
    sign_key: str
    sign_key_rs256: str = ""
    """The RSA key of access tokens. Empty where no client gets tokens with RS256."""
    firestore_emulator: str | None = None
    """`address:port`, as for the other two. Stage `production` refuses them."""
    pubsub_emulator: str | None = None
    kms_emulator: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A deployment's settings. `base_url` is the address of its functions from outside, without a trailing slash."""

    stage: Stage = Stage.PRODUCTION
    data: Path | None = None
    """The data folder of one machine. None where the cloud's store and keys are used."""
    base_url: str = "http://127.0.0.1:8787"
    audience: str = "keyturn"
    token_algorithm: str = ES256
    """The algorithm of access tokens of clients that have none of their own: ES256 or RS256."""
    sign_key_file: Path | None = None
    """A key file whose keys sign access tokens in place of KMS (docs/verifier.md explains the trade-off)."""
    authoriser: str = ATTESTED_ADMIN
    policy: Policy = field(default_factory=Policy)
    denied: frozenset[str] = field(default=frozenset())
    cloud: Cloud | None = None
    relays: tuple[str, ...] = ()
    """Addresses (ws://, wss://) of outside Nostr relays that the groups' messages are also published to."""
    trial_project: str = ""
    """The one project that may be in stage `trial`."""
    listen: bool = True
    """Whether a verifier that caches verdicts listens to Firestore's changes in addition to polling."""
    suspicious: tuple[str, ...] = ()
    """Names of variables that production refuses: emulators and debug flags."""

    @property
    def attested(self) -> bool:
        """Whether admins must prove their identity. Only one machine may do without, and only if a setting says so."""
        return self.authoriser != UNSAFE_NO_ATTESTATION

    @property
    def banner(self) -> str:
        """The warning in every response and audit entry of stage `trial`, which is less safe than production."""
        return f"TRIAL: {self.authoriser}" if self.stage is Stage.TRIAL else ""

    def checked(self) -> Settings:
        """Return these settings if they are safe for their stage. `SettingsError` names all that are not."""
        if self.authoriser not in _AUTHORISERS:
            raise refusal("AUTHORISER", f"must be one of {', '.join(_AUTHORISERS)}")
        unsafe = list(self.suspicious) if self.stage is Stage.PRODUCTION else []
        if self.stage is not Stage.LOCAL and not self.attested:
            unsafe.append(f"authoriser {self.authoriser}")
        if self.stage is not Stage.LOCAL and self.data is not None:
            unsafe.append(f"local store and key file ({PREFIX}DATA)")
        if self.stage is Stage.TRIAL and (self.cloud is None or self.cloud.project != self.trial_project):
            unsafe.append(f"any project but the one that {PREFIX}TRIAL_PROJECT lists")
        # The messages are encrypted, but without TLS the network sees which groups are active, and may drop messages.
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
    "SIGN_KEY_RS256": "sign_key_rs256",
}
_EMULATORS = {
    "FIRESTORE_EMULATOR_HOST": "firestore_emulator",
    "PUBSUB_EMULATOR_HOST": "pubsub_emulator",
    f"{PREFIX}KMS_EMULATOR_HOST": "kms_emulator",
}
_DEBUG = ("FLASK_DEBUG", "FLASK_ENV", "PYTHONDEVMODE", "GRPC_VERBOSITY")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings of the KEYTURN_ variables. `SettingsError` for an unknown, malformed or unsafe one."""
    check_names(environment)
    variables = Variables.of(environment)
    defaults = Settings()
    return Settings(
        # Fail closed: a deployment that names no stage gets the strictest one.
        stage=Stage(variables.choice("STAGE", Stage.PRODUCTION.value, [stage.value for stage in Stage])),
        data=variables.path("DATA"),
        base_url=_base_url(variables.text("BASE_URL", defaults.base_url).rstrip("/")),
        audience=variables.matching(
            "AUDIENCE", defaults.audience, _AUDIENCE, "1 to 256 printable ASCII characters without spaces"
        ),
        token_algorithm=variables.choice("TOKEN_ALGORITHM", defaults.token_algorithm, ALGORITHMS),
        sign_key_file=variables.path("SIGN_KEY_FILE"),
        authoriser=variables.choice("AUTHORISER", defaults.authoriser, _AUTHORISERS),
        policy=_policy(variables),
        denied=frozenset(variables.words("DENIED")),
        cloud=_cloud(variables, environment),
        relays=_relays(variables),
        trial_project=variables.text("TRIAL_PROJECT"),
        listen=variables.number("LISTEN", 1, (0, 1)) == 1,
        # Any emulator counts, also one that this version does not know: it could receive secrets in plaintext.
        suspicious=tuple(sorted(name for name in environment if name.endswith("_EMULATOR_HOST") or name in _DEBUG)),
    ).checked()


def _base_url(url: str) -> str:
    # Signatures (NIP-98) and the issuer of tokens are compared with this address as text.
    if not _is_address(url, {"http", "https"}):
        raise refusal("BASE_URL", "must be an http:// or https:// address without credentials, query or fragment")
    return url


def _is_address(url: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a malformed one
    except ValueError:
        return False
    is_plain = not ({"?", "#", "\\"} & set(url)) and url.isprintable() and " " not in url
    return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and is_plain


def _cloud(variables: Variables, environment: Mapping[str, str]) -> Cloud | None:
    if "PROJECT" not in variables:
        return None
    # Each function is given only the names that it uses: with an empty name, a request to the cloud fails.
    resources = {field: variables.text(name) for name, field in _CLOUD.items()}
    emulators = {field: environment[name] for name, field in _EMULATORS.items() if environment.get(name)}
    return Cloud(**resources, **emulators)


def _relays(variables: Variables) -> tuple[str, ...]:
    urls = variables.words("RELAYS")
    if not all(_is_address(url, {"ws", "wss"}) for url in urls):
        raise refusal("RELAYS", "must be a list of ws:// or wss:// addresses without credentials")
    if urls and importlib.util.find_spec("nostr_sdk") is None:
        raise refusal("RELAYS", "needs nostr-sdk, which is not installed: install the extra `relay`")
    return urls


def _policy(variables: Variables) -> Policy:
    values = {
        policy: variables.number(name, getattr(Policy(), policy), DEPLOYMENT_BOUNDS[policy])
        for name, policy in POLICIES.items()
    }
    return replace(Policy(), **values)  # type: ignore[arg-type]  # a policy that is no switch is a number


def to_environment(settings: Settings) -> dict[str, str]:
    """Return these settings as environment variables, to start the functions with. None of them is a secret."""
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
        **({} if settings.token_algorithm == ES256 else {f"{PREFIX}TOKEN_ALGORITHM": settings.token_algorithm}),
        **({f"{PREFIX}SIGN_KEY_FILE": str(settings.sign_key_file)} if settings.sign_key_file else {}),
        f"{PREFIX}AUTHORISER": settings.authoriser,
        **(_cloud_environment(settings.cloud) if settings.cloud else {}),
        **({f"{PREFIX}RELAYS": " ".join(settings.relays)} if settings.relays else {}),
        **({} if settings.listen else {f"{PREFIX}LISTEN": "0"}),
        **({f"{PREFIX}TRIAL_PROJECT": settings.trial_project} if settings.trial_project else {}),
        **{f"{PREFIX}POLICY_{name.upper()}": str(int(value)) for name, value in changed.items()},
    }


def _cloud_environment(cloud: Cloud) -> dict[str, str]:
    resources = {f"{PREFIX}{name}": getattr(cloud, field) for name, field in _CLOUD.items()}
    return {**resources, **{name: host for name, field in _EMULATORS.items() if (host := getattr(cloud, field))}}
