"""One run of `keyturn`: its global options, its device and prompts, and the options that several commands share."""

from __future__ import annotations

import getpass
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli import standard_input
from keyturn.cli.durations import parse_duration
from keyturn.cli.folders import data_folder, state_folder
from keyturn.cli.operator_token import read_token
from keyturn.cli.output import paused_spinners, print_instruction, print_note, print_warning
from keyturn.cli.passphrase import read_passphrase
from keyturn.cli.request_keys import StoredKeys
from keyturn.device.core.errors import UsageError
from keyturn.device.core.signed_events import utc_now
from keyturn.device.home.errors import PassphraseError
from keyturn.device.home.sealed_files import DEFAULT_COST, ScryptCost
from keyturn.domain.free_text import checked_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from keyturn.device.api.client import ApiClient, Transport
    from keyturn.device.device import Device
    from keyturn.device.home.home import Home
    from keyturn.device.incidents import Incident
    from keyturn.device.security_key import SecurityKeys

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="Id of the client.")]
GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="Id of the admin group.")]
RotationId = Annotated[str, typer.Argument(metavar="ROTATION_ID", help="Id of the rotation.")]
Reason = Annotated[str, typer.Option(parser=checked_reason, help="The reason, kept in the audit log.", metavar="TEXT")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Grace = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="7d", help="How long the previous version keeps working."),
]
"""Arguments and options that several commands share."""


def _has_screen() -> bool:
    return standard_input.is_terminal() and sys.stderr.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside the process that a run uses. Tests replace it."""

    transport: Transport | None = None
    now: Callable[[], datetime] = utc_now
    random: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], None] = time.sleep
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    is_terminal: Callable[[], bool] = standard_input.is_terminal
    has_terminal: Callable[[], bool] = standard_input.has_terminal
    """Whether `ask_secret` reaches a person although standard input is a pipe."""
    has_screen: Callable[[], bool] = _has_screen
    """Whether stderr is shown on a screen, and not written to a file."""
    ask_secret: Callable[[str], str] = getpass.getpass
    passphrase_cost: ScryptCost = DEFAULT_COST
    security_keys: SecurityKeys | None = None
    """None: the security keys that are plugged into this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The global options and the ports. The device's modules are loaded when a command first needs them."""

    url: str
    home: Path
    passphrase_file: Path | None
    ports: Ports

    def server(self) -> ApiClient:
        """Return a client of the server at the session's address."""
        from keyturn.device.api.client import ApiClient  # noqa: PLC0415 - `--help` need not load the network's libraries

        return ApiClient(self.url, self.ports.transport, self.ports.sleep, StoredKeys(self._counter_folder()))

    def operator_token(self) -> str:
        """Return the operator token for the session's address. Raises `NoOperatorTokenError`."""
        return read_token(self.server().url, self.ports.environment)

    def device(self) -> Device:
        """Open the home and return its device. Raises `HomeError`."""
        from keyturn.cli.totp_prompt import CodePrompt  # noqa: PLC0415 - as above
        from keyturn.device.attestation.fido2 import FidoKeys  # noqa: PLC0415 - as above
        from keyturn.device.device import Device  # noqa: PLC0415 - MLS is loaded for those commands that use a device

        ports = self.ports
        return Device.open(
            self.open_home(),
            self.url,
            transport=ports.transport,
            now=ports.now,
            random=ports.random,
            sleep=ports.sleep,
            observe=_print_incident,
            ask_code=CodePrompt(),
            security_keys=ports.security_keys or FidoKeys(self._ask_pin, print_instruction),
        )

    def open_home(self) -> Home:
        """Open the home. Raises `HomeError`."""
        from keyturn.device.home.home import Home  # noqa: PLC0415 - as above

        Home.check_present(self.home)  # before the prompt: no passphrase helps where there is no device
        passphrase = self._passphrase(self._ask)
        return Home.open(self.home, passphrase, self.ports.random, counter_folder=self._counter_folder())

    def create_home(self, name: str) -> Home:
        """Create the home and the keys of a new device. The passphrase is asked for twice. Raises `HomeError`."""
        from keyturn.device.attestation.software_key import software_key  # noqa: PLC0415 - as above
        from keyturn.device.home.home import Home  # noqa: PLC0415 - as above

        Home.check_vacant(self.home)  # before the prompt, as above
        passphrase = self._passphrase(self._ask_twice)
        ports = self.ports
        home = Home.create(
            self.home, name, passphrase, ports.random, cost=ports.passphrase_cost, counter_folder=self._counter_folder()
        )
        software_key(home, ports.random)
        return home

    # The rollback counter is kept outside of the home: a restored older copy of the home is detected by it.
    def _counter_folder(self) -> Path:
        return state_folder(self.ports.environment)

    def _passphrase(self, ask: Callable[[], str]) -> str:
        return read_passphrase(self.passphrase_file, self.ports.environment, ask)

    def _ask(self) -> str:
        # A pipe may carry the secret, the ID token or the code of a command: a passphrase is never read from it.
        if not self._is_attended():
            raise PassphraseError
        with paused_spinners():
            return self.ports.ask_secret("Passphrase of this device: ")

    def _ask_pin(self) -> str:
        with paused_spinners():
            return self.ports.ask_secret("PIN of the security key: ") if self._is_attended() else ""

    def _is_attended(self) -> bool:
        return self.ports.is_terminal() or self.ports.has_terminal()

    def _ask_twice(self) -> str:
        # A mistyped passphrase would lock the owner out of a new home for good.
        first = self._ask()
        if first and self.ports.ask_secret("Repeat the passphrase: ") != first:
            raise UsageError("The two passphrases differ.", "Run the command again and type the same passphrase twice.")
        return first


def session_of(context: typer.Context) -> Session:
    """Return the session that the global options made."""
    session = context.find_object(Session)
    if session is None:
        raise UsageError("The command was not started by keyturn.", "Run it as `keyturn …`.")
    return session


def default_home(environment: Mapping[str, str]) -> Path:
    """Return the default folder of the device, under `XDG_DATA_HOME` or ~/.local/share."""
    return data_folder(environment) / "device"


def _print_incident(incident: Incident) -> None:
    if incident.is_fault:
        print_warning(f"{incident.group_id}, message {incident.index}: {incident.sentence}")
    else:
        print_note(f"{incident.group_id}: {incident.sentence}", err=True)
