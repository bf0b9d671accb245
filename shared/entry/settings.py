"""Settings: one frozen value, the only reader of the environment; an absent setting has a working default."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.adapters.authoriser_unsafe import NAME as UNSAFE_AUTHORISER
from shared.domain.policy import Policy

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
class Settings:
    """A deployment's settings. `base_url` is where its doors are reached from outside, without a trailing slash."""

    stage: Stage = Stage.PRODUCTION
    data: Path | None = None
    """The data folder of one machine; None where the cloud's store and keys are used."""
    base_url: str = "http://127.0.0.1:8787"
    audience: str = "keyturn"
    authoriser: str = UNSAFE_AUTHORISER
    policy: Policy = field(default_factory=Policy)
    denied: frozenset[str] = field(default=frozenset())

    @property
    def banner(self) -> str:
        """What stands in every answer and audit entry of a stage that is not to be trusted like production."""
        return f"TRIAL: {self.authoriser}" if self.stage is Stage.TRIAL else ""

    def checked(self) -> Settings:
        """Return these settings if they are safe for their stage; `SettingsError` names everything that is not."""
        unsafe = []
        if self.stage is Stage.PRODUCTION and self.authoriser.startswith("unsafe"):
            unsafe.append(f"authoriser {self.authoriser}")
        if self.stage is not Stage.LOCAL and self.data is not None:
            unsafe.append("local store and key file (KEYTURN_DATA)")
        if unsafe:
            message = f"stage {self.stage.value} refuses: {', '.join(unsafe)}"
            raise SettingsError(message)
        return self


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
            authoriser=found.get("AUTHORISER", defaults.authoriser),
            policy=_policy(found),
            denied=frozenset(found.get("DENIED", "").split()),
        ).checked()
    except ValueError:
        raise SettingsError("a KEYTURN_ variable is not of its form") from None


def _policy(found: Mapping[str, str]) -> Policy:
    names = {name: name.removeprefix("POLICY_").lower() for name in found if name.startswith("POLICY_")}
    if not set(names.values()) <= set(Policy.__dataclass_fields__) - {"require_receipts"}:
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
        f"{PREFIX}AUTHORISER": settings.authoriser,
        **{f"{PREFIX}POLICY_{name.upper()}": str(int(value)) for name, value in changed.items()},
    }
