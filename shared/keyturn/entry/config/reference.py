"""Reference of all settings and policies, from which docs/settings.md is written (`make docs`).

Defaults come from `Settings`, `Cloud`, `ProofSettings` and `Policy` themselves. Here are the form and the meaning of
each variable. A test sets each variable and checks that the field named here changes, and that no field is missing.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.domain.policy import DAY, HOUR, MINUTE, PolicyField, Unit, policy_fields
from keyturn.entry.config.proof_settings import ProofSettings
from keyturn.entry.config.settings import PREFIX, Cloud, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: the field that it sets, its form and bounds, and its meaning."""

    variable: str
    field: str
    form: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that belong together. `owner` is the dataclass with their fields, None for the command line's."""

    title: str
    introduction: str
    owner: type | None
    settings: Sequence[Setting]


DEPLOYMENT: Final = Section(
    "Deployment",
    "Read by every function and by `keyturn up`.",
    Settings,
    (
        Setting(
            "KEYTURN_STAGE",
            "stage",
            "`local`, `trial` or `production`",
            "The purpose of the deployment. `local` is one machine. `trial` marks every response and audit entry."
            " `production` refuses unsafe settings by name.",
        ),
        Setting(
            "KEYTURN_DATA",
            "data",
            "path of a folder",
            "The data folder of one machine: SQLite files and the key file. Only stage `local` accepts it.",
        ),
        Setting(
            "KEYTURN_BASE_URL",
            "base_url",
            "URL without a trailing slash",
            "The address at which the functions are reached. It is the issuer of tokens and proofs.",
        ),
        Setting(
            "KEYTURN_AUDIENCE",
            "audience",
            "1 to 256 printable ASCII characters",
            "The audience of access tokens of clients that have none of their own.",
        ),
        Setting(
            "KEYTURN_AUTHORISER",
            "authoriser",
            "`attested_admin` or `unsafe_no_attestation`",
            "How admin commands are authorised. Only stage `local` accepts `unsafe_no_attestation`.",
        ),
        Setting(
            "KEYTURN_DENIED",
            "denied",
            "list separated by spaces",
            "Users, npubs and client ids that are denied in addition to `keyturn deny`.",
        ),
        Setting(
            "KEYTURN_RELAYS",
            "relays",
            "list of `wss://` addresses, separated by spaces",
            "Outside Nostr relays at which messages of the service are published as well (extra `relay`)."
            " Stages other than `production` also accept `ws://`.",
        ),
        Setting(
            "KEYTURN_LISTEN",
            "listen",
            "0 or 1",
            "Whether a verifier with a cache listens to Firestore for changes, in addition to polling.",
        ),
        Setting(
            "KEYTURN_TOKEN_ALGORITHM",
            "token_algorithm",
            "`ES256` or `RS256`",
            "The algorithm that signs access tokens of clients that have none of their own.",
        ),
        Setting(
            "KEYTURN_SIGN_KEY_FILE",
            "sign_key_file",
            "path of a key file",
            "A key file that signs access tokens instead of Cloud KMS. It belongs to the function's user or to root,"
            " has mode 0400, 0440, 0600 or 0640, and may be a symbolic link into a mounted secret."
            " [verifier.md](verifier.md) has the trade-off.",
        ),
        Setting(
            "KEYTURN_TRIAL_PROJECT",
            "trial_project",
            "id of a Google Cloud project",
            "The only project that may run in stage `trial`.",
        ),
    ),
)

CLOUD: Final = Section(
    "Google Cloud",
    "Read where `KEYTURN_PROJECT` is set. Each function needs only the databases and keys that it uses.",
    Cloud,
    (
        Setting("KEYTURN_PROJECT", "project", "id of a Google Cloud project", "The project of the deployment."),
        Setting("KEYTURN_DATABASE_CONTROL", "control", "id of a Firestore database", "The database `control`."),
        Setting("KEYTURN_DATABASE_AUTH", "auth", "id of a Firestore database", "The database `auth`."),
        Setting("KEYTURN_DATABASE_USAGE", "usage", "id of a Firestore database", "The database `usage`."),
        Setting(
            "KEYTURN_MAC_KEY", "mac_key", "full name of a CryptoKey", "The key that computes hashes of secrets (HMAC)."
        ),
        Setting(
            "KEYTURN_SEAL_KEY",
            "seal_key",
            "full name of a CryptoKey",
            "The key that encrypts group states, TOTP seeds and the service's own keys.",
        ),
        Setting(
            "KEYTURN_SIGN_KEY",
            "sign_key",
            "full name of a CryptoKey",
            "The key that signs access tokens (in `admin_proof`: proofs), ES256.",
        ),
        Setting(
            "KEYTURN_SIGN_KEY_RS256",
            "sign_key_rs256",
            "full name of a CryptoKey",
            "The key that signs access tokens with RS256. Without it there are none.",
        ),
        Setting(
            "FIRESTORE_EMULATOR_HOST",
            "firestore_emulator",
            "`address:port`",
            "The Firestore emulator. Stage `production` refuses it.",
        ),
        Setting(
            "PUBSUB_EMULATOR_HOST",
            "pubsub_emulator",
            "`address:port`",
            "The Pub/Sub emulator. Stage `production` refuses it.",
        ),
        Setting(
            "KEYTURN_KMS_EMULATOR_HOST",
            "kms_emulator",
            "`address:port`",
            "A stand-in for Cloud KMS. Stage `production` refuses it.",
        ),
    ),
)

PROOFS: Final = Section(
    "Proofs",
    "Read by functions that issue or check proofs. Without other settings, stage `local` uses `local_identity` and"
    " `dev_attest`.",
    ProofSettings,
    (
        Setting(
            "KEYTURN_IDENTITY",
            "identity",
            "`firebase` or `local_identity`",
            "The identity provider. Stage `production` refuses `local_identity`.",
        ),
        Setting(
            "KEYTURN_ATTESTATIONS",
            "attestations",
            "list of `app_check`, `app_attest`, `webauthn` and `dev_attest`, separated by spaces",
            "The accepted kinds of device attestation. Stage `production` refuses `dev_attest`.",
        ),
        Setting(
            "KEYTURN_FIREBASE_PROJECT",
            "firebase_project",
            "id of a Firebase project",
            "The project that issues ID tokens. Required with `firebase`.",
        ),
        Setting(
            "KEYTURN_APP_CHECK_PROJECT",
            "app_check_project",
            "number of a Firebase project",
            "The project that issues App Check tokens. Required with `app_check`.",
        ),
        Setting(
            "KEYTURN_APP_CHECK_APPS",
            "app_check_apps",
            "list of app ids, separated by spaces",
            "The apps that may attest devices. Required with `app_check`.",
        ),
        Setting(
            "KEYTURN_APP_CHECK_ISSUER",
            "app_check_issuer",
            "URL with a trailing slash",
            "The issuer of App Check tokens, before the number of the project.",
        ),
        Setting("KEYTURN_APP_CHECK_JWKS", "app_check_jwks", "`https://` URL", "The keys that verify App Check tokens."),
        Setting(
            "KEYTURN_APP_ATTEST_ROOT",
            "app_attest_root",
            "path of a PEM file",
            "Apple's root certificate for App Attest. Required with `app_attest`.",
        ),
        Setting(
            "KEYTURN_APP_ATTEST_APPS",
            "app_attest_apps",
            "list of `<team>.<bundle>`, separated by spaces",
            "The apps that may attest devices. Required with `app_attest`.",
        ),
        Setting(
            "KEYTURN_APP_ATTEST_ENVIRONMENT",
            "app_attest_environment",
            "`production` or `development`",
            "The environment of App Attest.",
        ),
        Setting(
            "KEYTURN_WEBAUTHN_RP_ID",
            "webauthn_rp_id",
            "domain",
            "The relying party of security keys. Required with `webauthn`.",
        ),
        Setting(
            "KEYTURN_WEBAUTHN_ORIGINS",
            "webauthn_origins",
            "list of `https://` origins, separated by spaces",
            "The origins at which security keys may be used. Required with `webauthn`.",
        ),
        Setting(
            "KEYTURN_WEBAUTHN_ROOTS",
            "webauthn_roots",
            "path of a folder with `<format>.pem` files",
            "The accepted attestation formats and their root certificates. Required with `webauthn`.",
        ),
        Setting(
            "KEYTURN_PROOF_JWKS",
            "proof_jwks",
            "`https://` URL",
            "The keys of `admin_proof`, which verify proofs. On one machine they are read from the key file.",
        ),
    ),
)

COMMAND_LINE: Final = Section(
    "Command line",
    "Read by `keyturn` on an admin's device. Each has an option of the same meaning.",
    None,
    (
        Setting("KEYTURN_URL", "http://127.0.0.1:8787", "URL", "The address of the suite (`--url`)."),
        Setting(
            "KEYTURN_HOME",
            "`$XDG_DATA_HOME/keyturn/device`",
            "path of a folder",
            "The folder with the device's sealed state (`--home`).",
        ),
        Setting(
            "KEYTURN_PASSPHRASE_FILE",
            "asked for at the terminal",
            "path of a file that only its owner can read",
            "The passphrase of the device's folder (`--passphrase-file`).",
        ),
    ),
)
"""Its settings have no dataclass: `field` is the default."""

SECTIONS: Final = (DEPLOYMENT, CLOUD, PROOFS, COMMAND_LINE)

_WIDTH: Final = 118
_HEAD: Final = """\
# Settings

Written by `make docs` from `keyturn.entry.config.reference`. Do not edit this file by hand.

Settings are environment variables. An absent variable has the default. A malformed or unsafe one makes the function
refuse to serve. No setting is a secret, and error texts name variables, never their values.
"""
_POLICY_HEAD: Final = f"""\
## Policies

A deployment sets a default by `{PREFIX}POLICY_<NAME>`, for example `{PREFIX}POLICY_GRACE_SECONDS=86400`. A client
overrides it by `keyturn client policy CLIENT --set NAME=VALUE`. Bounds are inclusive and hold for both. Some policies
can be set by the deployment only. Switches (on or off) can be set for a client only.
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    return "\n".join([_HEAD, *map(_section, SECTIONS), _policies()])


def _section(section: Section) -> str:
    head = _table("variable", "default", "form and bounds", "meaning")
    rows = [_row(f"`{item.variable}`", _default(section, item), item.form, item.meaning) for item in section.settings]
    return "\n".join([f"## {section.title}", "", textwrap.fill(section.introduction, _WIDTH), "", *head, *rows, ""])


def _default(section: Section, setting: Setting) -> str:
    if section.owner is None:
        return setting.field
    if section.owner is Cloud:
        return "none"
    value = getattr(section.owner(), setting.field)
    if isinstance(value, bool):
        return str(int(value))
    return f"`{value}`" if isinstance(value, str) and value else "none"


def _policies() -> str:
    head = _table("policy", "default", "unit", "bounds", "meaning")
    rows = [
        _row(f"`{item.name}`", _value(item.default, item), item.unit.value, _bounds(item), item.meaning)
        for item in policy_fields()
    ]
    return "\n".join([_POLICY_HEAD, *head, *rows, ""])


def _bounds(item: PolicyField) -> str:
    bounds = " to ".join(_value(bound, item) for bound in item.bounds or ())
    return bounds if item.per_client else f"{bounds}, for a deployment only"


def _value(value: int | bool, item: PolicyField) -> str:  # noqa: FBT001 - a policy value is one or the other
    if item.unit is Unit.SWITCH:
        return "on" if value else "off"
    return f"{value}{_spoken(value)}" if item.unit is Unit.SECONDS else str(value)


def _spoken(seconds: int) -> str:
    """Return seconds as whole days, hours or minutes, in brackets, or nothing where that is not possible."""
    for size, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size and seconds % size == 0:
            return f" ({seconds // size} {name})"
    return ""


def _table(*names: str) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
