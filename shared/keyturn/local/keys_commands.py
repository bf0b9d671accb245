"""The commands for key versions: `keyturn keys list`, `roll` and `disable`.

They work on a data folder, or on a cloud project with the caller's credentials and the variables of its functions
(docs/runbook.md, "Keys in the cloud").
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.output import print_json, print_note, print_table, waiting
from keyturn.cli.session import Json
from keyturn.local.options import Data, default_data

if TYPE_CHECKING:
    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.keys import KeyRing

Cloud = Annotated[
    bool, typer.Option("--cloud", help="Use the project named by KEYTURN_ variables instead of a data folder.")
]
LAG_SECONDS = 2.0
"""On one machine: the longest time of a rotation from reading the current key version to its commit."""
CLOUD_LAG_SECONDS = 120.0
"""In a project: the same, plus the time for which an instance caches the list of key versions (60 s)."""

_VARIABLES = "`terraform output -json environment` prints the variables of a project's functions."

keys = typer.Typer(no_args_is_help=True, help="List key versions, add one, or disable an old one.")


class KeyPurpose(StrEnum):
    """The purpose of a key."""

    MAC = "mac"
    SEAL = "seal"
    SIGN = "sign"
    SIGN_RS256 = "sign_rs256"


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(keys, name="keys")


@keys.command("list")
def list_keys(*, data: Data = None, cloud: Cloud = False, json: Json = False) -> None:
    """List the enabled key versions, newest first, and how many clients have secrets that use each."""
    from keyturn.use_cases.clients.disable_mac_key import clients_by_key  # noqa: PLC0415 - the other commands need no store

    suite = _open_suite(data, cloud=cloud)
    ring: KeyRing = suite.keys
    client_counts = clients_by_key(suite.databases.control)
    versions = [
        {
            "version": key.name,
            "purpose": purpose.value,
            "kid": ring.kid_of(key.name) or None,
            "current": turn == 0,
            "clients": client_counts.get(key.name, 0) if purpose is KeyPurpose.MAC else None,
        }
        for purpose in KeyPurpose
        for turn, key in enumerate(ring.enabled(purpose.value))
    ]
    if json:
        print_json({"keys": versions})
        return
    rows = [(key["version"], "yes" if key["current"] else "", key["clients"], key["kid"]) for key in versions]
    print_table(("VERSION", "CURRENT", "CLIENTS", "KID"), rows, empty="There are no enabled keys.")


@keys.command("roll")
def roll(
    purpose: Annotated[KeyPurpose, typer.Argument(help="The purpose of the key.")] = KeyPurpose.MAC,
    *,
    data: Data = None,
    cloud: Cloud = False,
    json: Json = False,
) -> None:
    """Add a key version and use it from now on. Secrets and signatures of older versions stay valid."""
    name = _open_suite(data, cloud=cloud).keys.add_version(purpose.value)
    if json:
        print_json({"version": name})
    else:
        print_note(f"{name} is the current version.")


@keys.command("disable")
def disable(
    version: Annotated[
        str,
        typer.Argument(metavar="VERSION", help="A version of the MAC or a signing key, or a kid."),
    ],
    *,
    data: Data = None,
    cloud: Cloud = False,
    json: Json = False,
) -> None:
    """Disable a version of the MAC key or of a signing key.

    Refused for a MAC key that an active or pending secret uses, and for the only version of a signing key.
    Tokens and proofs that a disabled version signed are refused.
    """
    from keyturn.domain.errors import Conflict, NotFound  # noqa: PLC0415 - the same
    from keyturn.local.errors import LocalError  # noqa: PLC0415 - the same
    from keyturn.use_cases.clients.disable_mac_key import DisableMacKey  # noqa: PLC0415 - the same
    from keyturn.use_cases.clients.disable_signing_key import DisableSigningKey  # noqa: PLC0415 - the same

    suite = _open_suite(data, cloud=cloud)
    lag_seconds = CLOUD_LAG_SECONDS if suite.settings.cloud else LAG_SECONDS
    disable_signing_key = DisableSigningKey(suite.keys)
    try:
        if name := disable_signing_key.find(version):
            disable_signing_key(name)
            _report_disabled(name, as_json=json)
            return
        with waiting(f"Checking all clients, and again after {lag_seconds:.0f} s"):
            DisableMacKey(suite.databases.control, suite.keys, suite.environment, lag_seconds)(version)
    except (Conflict, NotFound) as refusal:
        hint = "`keyturn keys list` shows which versions are in use. Rotate those clients and wait until grace ends."
        raise LocalError(refusal.sentence, hint) from None
    _report_disabled(version, as_json=json)


def _report_disabled(name: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"disabled": name})
    else:
        print_note(f"{name} is disabled.")


def _open_suite(data: Path | None, *, cloud: bool) -> Suite:
    from keyturn.local.doctor import open_folder  # noqa: PLC0415 - `--help` needs no store

    if cloud:
        return _project()
    return open_folder(data or default_data())


def _project() -> Suite:
    from keyturn.entry.composition.suite import Suite  # noqa: PLC0415 - the same
    from keyturn.entry.config.settings import SettingsError, from_environment  # noqa: PLC0415 - the same
    from keyturn.local.doctor import reach  # noqa: PLC0415 - the same
    from keyturn.local.errors import LocalError  # noqa: PLC0415 - the same

    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        raise LocalError(f"The environment does not describe a project: {error}.", _VARIABLES) from None
    if settings.cloud is None:
        raise LocalError("The environment names no project.", _VARIABLES)
    return reach(Suite(settings))
