"""One run of `keyturn`: where the server and the home are, and the device, operator and prompts that commands use."""

from __future__ import annotations

import getpass
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.cli.output import print_note, print_warning, say_now, set_aside
from keyturn.cli.passphrase import read_passphrase
from keyturn.cli.state_folder import state_folder
from keyturn.device.core.errors import UsageError
from keyturn.device.core.signed_events import utc_now
from keyturn.device.home.errors import PassphraseError
from keyturn.device.home.sealed_files import DEFAULT_COST, ScryptCost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import typer

    from keyturn.device.api.client import ApiClient, Transport
    from keyturn.device.attestation.security_key import SecurityKeys
    from keyturn.device.device import Device
    from keyturn.device.groups.incidents import Incident
    from keyturn.device.home.home import Home


def _stdin_is_terminal() -> bool:
    return sys.stdin.isatty()


def _somebody_reads() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a run reaches the world through; tests give their own."""

    transport: Transport | None = None
    now: Callable[[], datetime] = utc_now
    random: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], None] = time.sleep
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    is_terminal: Callable[[], bool] = _stdin_is_terminal
    faces_person: Callable[[], bool] = _somebody_reads
    """Whether what is written to stderr stands on a screen, and in no file."""
    ask_secret: Callable[[str], str] = getpass.getpass
    passphrase_cost: ScryptCost = DEFAULT_COST
    security_keys: SecurityKeys | None = None
    """None for those at this machine's ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The global options and the ports; the device's parts are loaded when a command first needs them."""

    url: str
    home: Path
    passphrase_file: Path | None
    ports: Ports

    def server(self) -> ApiClient:
        """Return the doors at the session's address."""
        from keyturn.device.api.client import ApiClient  # noqa: PLC0415 - `--help` need not load the network's libraries

        return ApiClient(self.url, self.ports.transport, self.ports.sleep)

    def operator_token(self) -> str:
        """Return the operator's token for the session's address; `NoOperatorTokenError` if there is none."""
        from keyturn.cli.operator_token import read_token  # noqa: PLC0415 - only the operator's commands need it

        return read_token(self.server().url, self.ports.environment)

    def device(self) -> Device:
        """Open the home and return its device; a `HomeError` if that can't be."""
        from keyturn.cli.totp_prompt import CodePrompt  # noqa: PLC0415 - the same
        from keyturn.device.attestation.fido2 import FidoKeys  # noqa: PLC0415 - the same
        from keyturn.device.device import Device  # noqa: PLC0415 - MLS is loaded for those commands that use a device

        ports = self.ports
        return Device.open(
            self.opened_home(),
            self.url,
            transport=ports.transport,
            now=ports.now,
            random=ports.random,
            sleep=ports.sleep,
            observe=_tell,
            ask_code=CodePrompt(),
            security_keys=ports.security_keys or FidoKeys(self._ask_pin, say_now),
        )

    def opened_home(self) -> Home:
        """Open the home; a `HomeError` if that can't be."""
        from keyturn.device.home.home import Home  # noqa: PLC0415 - as above

        passphrase = self._passphrase(self._ask)
        return Home.open(self.home, passphrase, self.ports.random, counter_folder=self._witnesses())

    def create_home(self, name: str) -> Home:
        """Make the home of a new device and its keys, under a passphrase asked for twice; a `HomeError` if not."""
        from keyturn.device.attestation.software_key import software_key  # noqa: PLC0415 - as above
        from keyturn.device.home.home import Home  # noqa: PLC0415 - as above

        passphrase = self._passphrase(self._ask_twice)
        ports = self.ports
        home = Home.create(
            self.home, name, passphrase, ports.random, cost=ports.passphrase_cost, counter_folder=self._witnesses()
        )
        software_key(home, ports.random)
        return home

    def _witnesses(self) -> Path:
        return state_folder(self.ports.environment)

    def _passphrase(self, ask: Callable[[], str]) -> str:
        return read_passphrase(self.passphrase_file, self.ports.environment, ask)

    def _ask(self) -> str:
        if not self.ports.is_terminal():
            raise PassphraseError
        return self.ports.ask_secret("Passphrase of this device: ")

    def _ask_pin(self) -> str:
        with set_aside():
            return self.ports.ask_secret("PIN of the security key: ") if self.ports.is_terminal() else ""

    def _ask_twice(self) -> str:
        first = self._ask()
        if first and self.ports.ask_secret("The same again: ") != first:
            raise UsageError("The two passphrases differ.", "Try again.")
        return first


def session_of(context: typer.Context) -> Session:
    """Return the session that the global options made."""
    session = context.find_object(Session)
    if session is None:
        raise UsageError("The command was not run through keyturn.", "Run it as `keyturn …`.")
    return session


def default_home(environment: Mapping[str, str]) -> Path:
    """Return the folder of the device that no option names."""
    data = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "keyturn" / "device"


def _tell(incident: Incident) -> None:
    if incident.is_fault:
        print_warning(f"{incident.group_id}, message {incident.index}: {incident.sentence}")
    else:
        print_note(f"{incident.group_id}: {incident.sentence}", err=True)
