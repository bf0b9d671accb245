"""Variables of the environment: which names exist, and readers that name the variable and the rule in every error.

No error text contains a value: a secret may have been put into the wrong variable.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyturn.domain.policy import SWITCHES, Policy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX: Final = "KEYTURN_"
POLICY_PREFIX: Final = "POLICY_"
POLICIES: Final = {
    f"{POLICY_PREFIX}{name.upper()}": name for name in Policy.__dataclass_fields__ if name not in SWITCHES
}
"""The policies that a deployment can set, by variable. A switch is set for one client, by an audited command."""
NAMES: Final = frozenset(
    {
        *POLICIES,
        "APP_ATTEST_APPS",
        "APP_ATTEST_ENVIRONMENT",
        "APP_ATTEST_ROOT",
        "APP_CHECK_APPS",
        "APP_CHECK_ISSUER",
        "APP_CHECK_JWKS",
        "APP_CHECK_PROJECT",
        "ATTESTATIONS",
        "AUDIENCE",
        "AUTHORISER",
        "BASE_URL",
        "DATA",
        "DATABASE_AUTH",
        "DATABASE_CONTROL",
        "DATABASE_USAGE",
        "DENIED",
        "FIREBASE_PROJECT",
        "HOME",
        "IDENTITY",
        "KMS_EMULATOR_HOST",
        "LISTEN",
        "MAC_KEY",
        "PASSPHRASE_FILE",
        "PROJECT",
        "PROOF_JWKS",
        "RELAYS",
        "SEAL_KEY",
        "SIGN_KEY",
        "SIGN_KEY_FILE",
        "SIGN_KEY_RS256",
        "STAGE",
        "TOKEN_ALGORITHM",
        "TRIAL_PROJECT",
        "URL",
        "WEBAUTHN_ORIGINS",
        "WEBAUTHN_ROOTS",
        "WEBAUTHN_RP_ID",
    }
)
"""All names, without the prefix. A test holds them to docs/settings.md."""

# Kubernetes gives every pod such variables for each service of its namespace. A service may be named `keyturn`.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)


class SettingsError(Exception):
    """A setting is malformed, or unsafe for the stage. The text names settings, never their values."""


def check_names(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` for a KEYTURN_ variable that does not exist, with the nearest one that does."""
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX)
        if name not in NAMES and not _SERVICE_LINK.match(name):
            nearest = difflib.get_close_matches(name, sorted(NAMES), n=1)
            proposal = f"the nearest one is {PREFIX}{nearest[0]}" if nearest else "docs/settings.md lists all settings"
            message = f"{variable} is no setting: {proposal}"
            raise SettingsError(message)


@dataclass(frozen=True, slots=True)
class Variables:
    """The KEYTURN_ variables of an environment. Names are given without the prefix. Readers raise `SettingsError`."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Variables:
        """Return the variables of an environment."""
        return cls({name.removeprefix(PREFIX): text for name, text in environment.items() if name.startswith(PREFIX)})

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        """Return a text as it is."""
        return self.values.get(name, default)

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list separated by white space."""
        return tuple(self.text(name).split())

    def path(self, name: str) -> Path | None:
        """Return a path, or None if the variable is absent."""
        if name not in self.values:
            return None
        # Path("") is the working folder, which is certainly not what an empty variable was to mean.
        if not self.values[name].strip() or "\0" in self.values[name]:
            raise refusal(name, "must be a path")
        return Path(self.values[name])

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        """Return one of these texts."""
        value = self.text(name, default)
        if value not in choices:
            raise refusal(name, f"must be one of {', '.join(sorted(choices))}")
        return value

    def number(self, name: str, default: int, bounds: tuple[int, int]) -> int:
        """Return an integer in decimal digits, within bounds that are inclusive."""
        low, high = bounds
        value = self.text(name, str(default)).strip()
        # int() would accept underscores and digits of other scripts. The length bounds the work.
        if not re.fullmatch(r"[0-9]{1,18}", value, re.ASCII) or not low <= int(value) <= high:
            raise refusal(name, f"must be a whole number from {low} to {high}")
        return int(value)

    def matching(self, name: str, default: str, pattern: re.Pattern[str], rule: str) -> str:
        """Return a text that matches a pattern. `rule` says in words what it must be."""
        value = self.text(name, default)
        if not pattern.fullmatch(value):
            raise refusal(name, f"must be {rule}")
        return value


def refusal(name: str, rule: str) -> SettingsError:
    """Return the error for the variable of this name, which breaks a rule."""
    return SettingsError(f"{PREFIX}{name} {rule}")
