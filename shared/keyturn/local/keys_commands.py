"""The commands for key versions: `keyturn keys list`, `roll` and `disable`.

They work on one machine's data folder; or on a project, as whoever is signed in there, with the variables of its doors
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

Cloud = Annotated[bool, typer.Option("--cloud", help="The project that KEYTURN_ variables name, instead of a folder.")]
LAG_SECONDS = 2.0
"""How long a rotation under way may take from asking for the current key version to its commit, on one machine."""
CLOUD_LAG_SECONDS = 120.0
"""The same in a project, and how long an instance goes on with the key versions that it knows (60 s)."""

_VARIABLES = "`terraform output -json environment` says the variables of a project's doors."

keys = typer.Typer(no_args_is_help=True, help="Key versions: look at them, add one, disable an old one.")


class Purpose(StrEnum):
    """What a key is for."""

    MAC = "mac"
    SEAL = "seal"
    SIGN = "sign"


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(keys, name="keys")


@keys.command("list")
def list_keys(*, data: Data = None, cloud: Cloud = False, json: Json = False) -> None:
    """List the enabled key versions, newest first, and how many clients have secrets that name one."""
    from keyturn.use_cases.clients.disable_mac_key import clients_by_key  # noqa: PLC0415 - the other commands need no store

    suite = _opened(data, cloud=cloud)
    ring: KeyRing = suite.keys
    counted = clients_by_key(suite.databases.control)
    listed = [
        {
            "version": key.name,
            "purpose": purpose.value,
            "current": turn == 0,
            "clients": counted.get(key.name, 0) if purpose is Purpose.MAC else None,
        }
        for purpose in Purpose
        for turn, key in enumerate(ring.enabled(purpose.value))
    ]
    if json:
        print_json({"keys": listed})
        return
    rows = [(key["version"], "yes" if key["current"] else "", key["clients"]) for key in listed]
    print_table(("VERSION", "CURRENT", "CLIENTS"), rows, empty="There are no enabled keys.")


@keys.command("roll")
def roll(
    purpose: Annotated[Purpose, typer.Argument(help="What the key is for.")] = Purpose.MAC,
    *,
    data: Data = None,
    cloud: Cloud = False,
    json: Json = False,
) -> None:
    """Add a key version, which is used from now on; what older ones made goes on working."""
    name = _opened(data, cloud=cloud).keys.add_version(purpose.value)
    if json:
        print_json({"version": name})
    else:
        print_note(f"{name} is the current version.")


@keys.command("disable")
def disable(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version of the MAC key.")],
    *,
    data: Data = None,
    cloud: Cloud = False,
    json: Json = False,
) -> None:
    """Disable an old version of the MAC key; refused while a secret that works, or is about to, names it."""
    from keyturn.domain.errors import Conflict, NotFound  # noqa: PLC0415 - the same
    from keyturn.local.errors import LocalError  # noqa: PLC0415 - the same
    from keyturn.use_cases.clients.disable_mac_key import DisableMacKey  # noqa: PLC0415 - the same

    suite = _opened(data, cloud=cloud)
    lag_seconds = CLOUD_LAG_SECONDS if suite.settings.cloud else LAG_SECONDS
    try:
        with waiting(f"Looking through all clients, and once more {lag_seconds:.0f} s later"):
            DisableMacKey(suite.databases.control, suite.keys, suite.environment, lag_seconds)(version)
    except (Conflict, NotFound) as refusal:
        hint = "`keyturn keys list` shows versions and who needs them; rotate those clients, and let grace pass."
        raise LocalError(refusal.sentence, hint) from None
    if json:
        print_json({"disabled": version})
    else:
        print_note(f"{version} is disabled.")


def _opened(data: Path | None, *, cloud: bool) -> Suite:
    from keyturn.local.doctor import open_folder  # noqa: PLC0415 - `--help` needs no store

    if cloud:
        return _project()
    return open_folder(data or default_data())


def _project() -> Suite:
    from keyturn.entry.composition.suite import Suite  # noqa: PLC0415 - the same
    from keyturn.entry.config.settings import SettingsError, from_environment  # noqa: PLC0415 - the same
    from keyturn.local.doctor import reached  # noqa: PLC0415 - the same
    from keyturn.local.errors import LocalError  # noqa: PLC0415 - the same

    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        raise LocalError(f"The environment is not a project's: {error}.", _VARIABLES) from None
    if settings.cloud is None:
        raise LocalError("The environment names no project.", _VARIABLES)
    return reached(Suite(settings))
