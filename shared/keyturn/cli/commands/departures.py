"""What a person's or a device's departure comes to: who is out, what was canceled, and rotations of what they know."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.output import print_facts, print_json, print_note, print_warning, waiting
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, NotPromotedError
from keyturn.device.core.format_keys import key

if TYPE_CHECKING:
    from keyturn.device.device import Device

Rotate = Annotated[bool, typer.Option("--rotate", help="Have this device ask for a rotation of what they received.")]


def finish(gone: dict[str, object], device: "Device | None", reason: str, *, as_json: bool) -> None:
    """Ask for rotations of what they know, where a device is to, and tell all of it (docs/http.md: `received`).

    `EndedOtherwiseError` if not every client could be rotated.
    """
    opened, refused = ([], {}) if device is None else _rotated(device, answers.texts(gone, "received"), reason)
    if as_json:
        print_json(gone if device is None else {**gone, "rotations": opened, "refused": refused})
    else:
        report_gone(gone, opened)
    if refused:
        raise NotPromotedError("Not every client could be rotated.", "Rotate those by hand: `keyturn rotate`.")


def _rotated(device: "Device", clients: list[str], reason: str) -> tuple[list[dict[str, object]], dict[str, str]]:
    opened: list[dict[str, object]] = []
    refused: dict[str, str] = {}
    for client_id in clients:
        try:
            with waiting(f"Asking for a rotation of {client_id}"):
                opened.append(device.rotate(client_id, reason))
        except DeviceError as stopped:  # one that is refused holds up no other
            print_warning(f"{client_id}: {stopped} {stopped.hint}")
            refused[client_id] = str(stopped)
    return opened, refused


def report_gone(gone: dict[str, object], opened: list[dict[str, object]] | None = None) -> None:
    """Say which devices are out, what was canceled and asked for, and what they know."""
    devices = ", ".join(str(key(npub)) for npub in answers.texts(gone, "devices"))
    received = answers.texts(gone, "received")
    canceled = ", ".join(answers.texts(gone, "canceled"))
    asked = ", ".join(answers.text(answer, "rotation_id") for answer in opened or ())
    print_facts([("devices removed", devices), ("rotations canceled", canceled), ("rotations asked for", asked)])
    print_facts([("they know secrets of", ", ".join(received))])
    if received and not opened:
        print_note("Those secrets are live and known to them: rotate these clients.")
