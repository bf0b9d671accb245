"""`keyturn inbox`: list the received secrets, and deliver each of them once."""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.deliver_secret import run_with_secret, write_secret
from keyturn.cli.output import fetching, moment, print_facts, print_json, print_note, print_table, print_warning
from keyturn.cli.session import Json, session_of
from keyturn.device.core.errors import DeviceError, UsageError
from keyturn.domain.encodings import rotation_identifier

if TYPE_CHECKING:
    from keyturn.device.device import Device
    from keyturn.device.groups.inbox import Notice
    from keyturn.device.groups.relay_log import RelayInbox


def inbox(
    context: typer.Context,
    *,
    rotation: Annotated[str | None, typer.Option(metavar="ID", help="Only this rotation.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the secrets on the screen, once.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the secret to a new file of mode 0600.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("--exec", metavar="CMD", help="Run CMD with the secret on its standard input.")
    ] = None,
    relay: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Read from this Nostr relay (ws:// or wss://) instead of the server."),
    ] = None,
    json: Json = False,
) -> None:
    """List the received secrets, or deliver one: to the screen, a file or a program."""
    # First of all: a usage error must not cost a typed passphrase.
    _check_usage(rotation, reveal=reveal, out=out, command=command)
    device = session_of(context).device()
    _catch_up(device, relay)
    notices = device.inbox() if rotation is None else [device.notice(rotation_identifier(rotation))]
    if relay is None and (reveal or out is not None or command is not None):
        _warn_of_ended(device, [notice for notice in notices if notice.taken_at is None])
    if out is not None:
        _write(device, notices[0], out, as_json=json)
    elif command is not None:
        _run(device, notices[0], command, as_json=json)
    elif reveal:
        _reveal(device, notices, single=rotation is not None, as_json=json)
    else:
        _list(notices, single=rotation is not None, as_json=json)


def _check_usage(rotation: str | None, *, reveal: bool, out: Path | None, command: str | None) -> None:
    if (out is not None) + (command is not None) + reveal > 1:
        raise UsageError("A secret can be delivered in one way only.", "Choose one of --reveal, --out and --exec.")
    if rotation is None and (out is not None or command is not None):
        raise UsageError("The rotation is missing.", "Add --rotation ID. `keyturn inbox` lists the rotations.")


def _catch_up(device: "Device", relay: str | None) -> None:
    try:
        with fetching() as progress:
            if relay is None:
                device.catch_up(progress)
            else:
                device.read_relay(relay_inbox(relay))
    except DeviceError as error:  # notices in the inbox were checked on arrival: listing them needs no server
        print_warning(f"{error} The list shows earlier notices only. {error.hint}")


def _warn_of_ended(device: "Device", notices: list["Notice"]) -> None:
    # A secret may stay in the inbox after its rotation was canceled or has expired. Only the server knows.
    for notice in notices:
        with suppress(DeviceError):  # a server that is down does not block delivery
            outcome = device.rotation(notice.rotation_id).get("outcome")
            if outcome not in {None, "promoted"}:
                print_warning(f"{notice.rotation_id} has ended ({outcome}): its secret is not the current one.")


def relay_inbox(url: str) -> "RelayInbox":
    """Return the relay at an address. Raises `UsageError` if the library for relays is not installed."""
    if find_spec("nostr_sdk") is None:
        raise UsageError(
            "Reading from a relay needs nostr-sdk.", "Install it: `pip install -e '.[relay]'` in keyturn's clone."
        )
    from keyturn.device.groups.relay_log import RelayInbox  # noqa: PLC0415 - only --relay needs it

    return RelayInbox(url)


def _list(notices: list["Notice"], *, single: bool, as_json: bool) -> None:
    if as_json:
        _print_notices([_fields(notice) for notice in notices], single=single)
        return
    rows = (
        [
            notice.rotation_id,
            notice.client_id,
            notice.version_id,
            notice.group,
            moment(notice.received_at),
            moment(notice.acked_at),
            moment(notice.taken_at),
        ]
        for notice in notices
    )
    titles = ("ROTATION", "CLIENT", "VERSION", "FROM", "RECEIVED", "ACKNOWLEDGED", "TAKEN")
    print_table(titles, rows, empty="The inbox is empty.")


def _reveal(device: "Device", notices: list["Notice"], *, single: bool, as_json: bool) -> None:
    to_show = notices if single else [notice for notice in notices if notice.taken_at is None]
    secrets = [(notice, notice.undelivered_secret()) for notice in to_show]
    if secrets:
        print_warning("The following secrets are shown once: check that this screen is not watched or recorded.")
    if as_json:
        _print_notices([{**_fields(notice), "secret": secret} for notice, secret in secrets], single=single)
    for notice, secret in secrets:
        if not as_json:
            names = ("rotation_id", "client_id", "version_id")
            facts = [(name.removesuffix("_id"), getattr(notice, name)) for name in names]
            print_facts([*facts, ("secret", secret)])
        device.mark_delivered(notice.rotation_id)  # only now, so that a crash before it loses nothing
    if not secrets and not as_json:
        print_note("There is no undelivered secret.")


def _write(device: "Device", notice: "Notice", path: Path, *, as_json: bool) -> None:
    # In this order: a crash in between leaves the secret in the inbox, and never only marks it as delivered.
    write_secret(path, notice.undelivered_secret())
    _report_delivered(device.mark_delivered(notice.rotation_id), as_json=as_json)


def _run(device: "Device", notice: "Notice", command: str, *, as_json: bool) -> None:
    code = run_with_secret(command, notice.undelivered_secret(), output_to_stderr=as_json)
    if code:  # the program may not have installed it: the secret stays
        print_warning("The program failed. The secret stays in the inbox.")
        raise typer.Exit(code)
    _report_delivered(device.mark_delivered(notice.rotation_id), as_json=as_json)


def _report_delivered(notice: "Notice", *, as_json: bool) -> None:
    if as_json:
        print_json(_fields(notice))
    elif notice.acked_at is None:
        print_note(f"Delivered. Next: `keyturn ack {notice.rotation_id}`.", err=True)
    else:
        print_note("Delivered, and deleted from this device.", err=True)


def _print_notices(notices: list[dict[str, object]], *, single: bool) -> None:
    print_json(notices[0] if single else {"notices": notices})


def _fields(notice: "Notice") -> dict[str, object]:
    names = (
        "rotation_id",
        "client_id",
        "version_id",
        "group",
        "secret_hash",
        "mac_key_ref",
        "not_before",
        "grace_until",
    )
    times = ("received_at", "acked_at", "taken_at")
    return {**{name: getattr(notice, name) for name in (*names, *times)}, "from": notice.sender}
