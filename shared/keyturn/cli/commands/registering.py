"""Registering a device with a person at it: the authenticator's secret is shown, and its first code asked for."""

from typing import TYPE_CHECKING

import typer

from keyturn.cli.output import print_json, print_note, print_warning, waiting
from keyturn.cli.qr_code import print_qr
from keyturn.cli.session import Session
from keyturn.cli.totp_prompt import CodePrompt
from keyturn.device.core.errors import ServerRefusedError, UsageError

if TYPE_CHECKING:
    from keyturn.device.attestation.registration import RegistrationResult
    from keyturn.device.device import Device

TOTP = "totp"
"""The purpose of an invite that gives a known person a new authenticator, and no place in a group."""
_REFUSED = "proof_refused"


def register(
    session: Session, device: "Device", code: str, *, to_stdout: bool, security_key: bool
) -> "RegistrationResult | None":
    """Register the device where the service wants that, with a code that the person types; None where it does not.

    `UsageError` if the authenticator's secret would go where nobody reads it, or into a file.
    """
    with waiting("Registering this device"):
        registered = device.register(code, security_key=security_key)
    if registered is None:
        return None
    if registered.otpauth is not None:
        _show(session, registered.otpauth, to_stdout=to_stdout)
    _confirm(session, device, code)
    return registered


def report_authenticator(registered: "RegistrationResult", *, as_json: bool) -> None:
    """Say that a known person's new authenticator counts from now on."""
    if as_json:
        print_json({"user": registered.user, "purpose": registered.purpose})
    else:
        print_note("From now on this authenticator's codes count, and those of the one before do not.")


def _show(session: Session, otpauth: str, *, to_stdout: bool) -> None:
    if to_stdout:
        typer.echo(otpauth)
    elif session.ports.faces_person():
        print_note(
            "Scan this with your authenticator app. It is shown once, and kept by nobody but your app:", err=True
        )
        print_qr(otpauth)
        print_note(otpauth, err=True)
    else:
        raise UsageError(
            "There is no terminal to show the authenticator's secret on.",
            "Run it at one; a program gets the secret with --totp-uri, and gives the code on standard input.",
        )


def _confirm(session: Session, device: "Device", code: str) -> None:
    ask_code = CodePrompt()
    while True:
        totp = ask_code()
        try:
            with waiting("Confirming"):
                device.confirm(code, totp)
        except ServerRefusedError as refused:
            if refused.reason != _REFUSED or not session.ports.is_terminal():
                raise
            print_warning("That is not the present code.")
        else:
            return
