"""Report the removal of a user or a device, and rotate the secrets that they received."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.output import print_facts, print_json, print_note, print_warning, waiting
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, NotPromotedError
from keyturn.device.core.format_keys import key

if TYPE_CHECKING:
    from keyturn.device.device import Device

Rotate = Annotated[bool, typer.Option("--rotate", help="Rotate all clients of the secrets that they received.")]


def finish(removal: dict[str, object], device: "Device | None", reason: str, *, as_json: bool) -> None:
    """Rotate all clients of the secrets that they received, if there is a device to do it, and print the result.

    `removal` is the server's answer (docs/http.md, `received`). Raises `NotPromotedError` if a rotation was refused.
    """
    rotations, refusals = ([], {}) if device is None else _rotate(device, answers.texts(removal, "received"), reason)
    if as_json:
        print_json(removal if device is None else {**removal, "rotations": rotations, "refused": refusals})
    else:
        report_removal(removal, rotations)
    if refusals:
        raise NotPromotedError("Not every client could be rotated.", "Rotate the others one by one: `keyturn rotate`.")


def _rotate(device: "Device", clients: list[str], reason: str) -> tuple[list[dict[str, object]], dict[str, str]]:
    rotations: list[dict[str, object]] = []
    refusals: dict[str, str] = {}
    for client_id in clients:
        try:
            with waiting(f"Requesting a rotation of {client_id}"):
                rotations.append(device.rotate(client_id, reason))
        except DeviceError as error:  # one refusal does not stop the others
            print_warning(f"{client_id}: {error} {error.hint}")
            refusals[client_id] = str(error)
    return rotations, refusals


def report_removal(removal: dict[str, object], rotations: list[dict[str, object]] | None = None) -> None:
    """Print the removed devices, the canceled and requested rotations, and the known secrets."""
    devices = ", ".join(str(key(npub)) for npub in answers.texts(removal, "devices"))
    received = answers.texts(removal, "received")
    canceled = ", ".join(answers.texts(removal, "canceled"))
    requested = ", ".join(answers.text(answer, "rotation_id") for answer in rotations or ())
    print_facts([("devices removed", devices), ("rotations canceled", canceled), ("rotations requested", requested)])
    print_facts([("they know secrets of", ", ".join(received))])
    if received and not rotations:
        print_note("These secrets still work and are known to them: rotate these clients.")
