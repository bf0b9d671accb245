"""Register a device: show the secret for the authenticator app, and ask for its first code."""

import sys
from typing import TYPE_CHECKING

import typer

from keyturn.cli.output import print_json, print_note, print_warning, waiting
from keyturn.cli.session import Session
from keyturn.cli.totp_prompt import CodePrompt
from keyturn.device.core.errors import ServerRefusedError, UsageError

if TYPE_CHECKING:
    from keyturn.device.attestation.registration import RegistrationResult
    from keyturn.device.device import Device

TOTP = "totp"
"""The purpose of an invite for a new authenticator app of a registered admin. It joins no group."""
_REFUSED = "proof_refused"


def register(
    session: Session, device: "Device", code: str, *, to_stdout: bool, security_key: bool
) -> "RegistrationResult | None":
    """Register the device and confirm it with the first code. None if the service requires no registration.

    Raises `UsageError` if the authenticator's secret would not be shown on a screen.
    """
    with waiting("Registering this device"):
        result = device.register(code, security_key=security_key)
    if result is None:
        return None
    if result.otpauth is not None:
        _show(session, result.otpauth, to_stdout=to_stdout)
    _confirm(session, device, code)
    return result


def print_qr(text: str) -> None:
    """Draw a QR code on stderr with block characters, for an authenticator app to scan."""
    import segno  # noqa: PLC0415 - only registration needs it

    segno.make(text, error="l", micro=False).terminal(out=sys.stderr, compact=True)


def report_authenticator(result: "RegistrationResult", *, as_json: bool) -> None:
    """Print that only the new authenticator is accepted from now on."""
    if as_json:
        print_json({"user": result.user, "purpose": result.purpose})
    else:
        print_note("From now on only codes of this authenticator are accepted.")


def _show(session: Session, otpauth: str, *, to_stdout: bool) -> None:
    if to_stdout:
        typer.echo(otpauth)
    elif session.ports.has_screen():
        print_note("Scan this with your authenticator app. It is shown once and stored only in the app:", err=True)
        print_qr(otpauth)
        print_note(otpauth, err=True)
    else:
        raise UsageError(
            "The authenticator's secret needs a terminal.",
            "Run it in a terminal. A program uses --totp-uri and writes the code to standard input.",
        )


def _confirm(session: Session, device: "Device", code: str) -> None:
    ask_code = CodePrompt()
    while True:
        totp = ask_code()
        try:
            with waiting("Confirming"):
                device.confirm(code, totp)
        except ServerRefusedError as refused:
            # Only a person can read a new code from the app. A program must start again.
            if refused.reason != _REFUSED or not session.ports.is_terminal():
                raise
            print_warning("That is not the current code.")
        else:
            return
