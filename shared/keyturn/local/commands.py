"""The commands of one machine: `up`, `demo`, `doctor`, `thaw`, `dead-letters` and `keys`."""

from __future__ import annotations

import logging
import os
import signal
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyturn.cli.durations import parse_duration
from keyturn.cli.output import print_facts, print_json, print_note, print_warning
from keyturn.cli.session import Json
from keyturn.device.core.errors import UsageError
from keyturn.domain.policy import Policy
from keyturn.entry.config.settings import PREFIX, Settings, SettingsError, Stage
from keyturn.local import keys_commands
from keyturn.local.errors import LocalError
from keyturn.local.options import Data, PathForm, default_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.entry.config.settings import Cloud
    from keyturn.local.machine import Backend

SweepEvery = Annotated[
    timedelta | None, typer.Option(parser=parse_duration, metavar="10m", help="How often the sweeper runs.")
]
MinNotBefore = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="10m", help="The shortest time from a request to its promotion."),
]
MinInterval = Annotated[
    timedelta | None,
    typer.Option(parser=parse_duration, metavar="10m", help="The shortest time between two rotations of a client."),
]
Emulators = Annotated[
    bool,
    typer.Option("--emulators", help="Use Google's emulators, with each function in a process of its own."),
]
Paths = Annotated[
    PathForm | None,
    typer.Option(
        "--path",
        help="With --emulators: the paths that functions get. stripped, the default: without the function's name, as"
        " Cloud Functions give them. kept: with it, as Hosting rewrites do.",
    ),
]

_AUTHORISER = f"{PREFIX}AUTHORISER"

dead_letters = typer.Typer(
    no_args_is_help=True, help="List events that could not be delivered, and deliver them again."
)

QUICK = Policy(
    minimum_not_before_seconds=10,
    grace_seconds=120,
    minimum_interval_seconds=0,
    requests_per_hour_per_client=1000,
    requests_per_hour_per_requester=1000,
)
"""The policy of `--quick`, for trials on one machine."""


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command("up")(up)
    root.command("doctor")(doctor)
    root.command("thaw")(thaw)
    root.add_typer(dead_letters, name="dead-letters")
    root.command("demo")(demo)
    keys_commands.register(root)


def up(
    *,
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1. 0 means any free port.")] = 8787,
    data: Data = None,
    sweep_every: SweepEvery = None,
    min_not_before: MinNotBefore = None,
    min_interval: MinInterval = None,
    quick: Annotated[bool, typer.Option(help="Short times for trials: lead 10 s, grace 2 min, no interval.")] = False,
    emulators: Emulators = False,
    path: Paths = None,
    json: Json = False,
) -> None:
    """Run the whole suite on this machine until Ctrl-C, with each function at its own path.

    With --emulators it uses Google's emulators, and emulates Cloud KMS. Each function is a process of its own.
    `FIRESTORE_EMULATOR_HOST` and `PUBSUB_EMULATOR_HOST` name running emulators. Others are started.
    A running Firestore emulator needs the option `--functions_emulator 127.0.0.1:PORT` of this suite.
    The data folder then holds only the keys. All other data is in the emulators' memory.
    """
    from keyturn.local.machine import is_disk_full, run_suite  # noqa: PLC0415 - the other commands need no server

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    policy, paths = _policy(min_not_before, min_interval, quick=quick), _path_form(path, emulators=emulators)
    wait_for_stop = catch_stop_signals()
    every = (sweep_every or timedelta(seconds=1 if quick else 60)).total_seconds()
    backend = _emulated(data, policy, paths) if emulators else _folder(data, policy, every)
    with run_suite(backend, port, every) as suite:
        _print_start(suite.settings, suite.freeze.freeze_reason(), is_full=is_disk_full(suite), json=json)
        wait_for_stop()


def catch_stop_signals() -> Callable[[], None]:
    """Catch Ctrl-C and SIGTERM from now on. Returns the call that waits for the first of them.

    Each signal writes its number to a socket at once (`signal.set_wakeup_fd`), and the call reads it there. Waiting for
    an `Event` that a handler sets can hang: a handler runs between two steps of the main thread, and one that arrives
    just before the thread starts to wait would run only after the wait, which does not end.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    receiver, sender = socket.socketpair()
    sender.settimeout(0)  # a handler must never block
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sender.fileno())

    def wait() -> None:
        with receiver, sender:
            while receiver.recv(1)[0] not in numbers:
                pass
            signal.set_wakeup_fd(-1)

    return wait


def _folder(data: Path | None, policy: Policy, sweep_every_seconds: float) -> Backend:
    from keyturn.local.machine import FolderBackend  # noqa: PLC0415 - the other commands need no server

    folder = data or default_data()
    authoriser = _authoriser()
    return FolderBackend(
        lambda url: Settings(Stage.LOCAL, folder, url, policy=policy, authoriser=authoriser), sweep_every_seconds
    )


def _authoriser() -> str:
    """Return the authoriser's name: `attested_admin`, unless the environment names another one for tests."""
    try:
        return Settings(Stage.LOCAL, authoriser=os.environ.get(_AUTHORISER, Settings().authoriser)).checked().authoriser
    except SettingsError as error:
        raise LocalError(f"{error}.", f"Unset {_AUTHORISER}.") from None


def _path_form(path: PathForm | None, *, emulators: bool) -> PathForm:
    if path is not None and not emulators:
        raise UsageError("--path requires --emulators.", "Only there is each function a process of its own.")
    return path or PathForm.STRIPPED


def _emulated(data: Path | None, policy: Policy, paths: PathForm) -> Backend:
    try:
        from keyturn.local.emulator_backend import EmulatorBackend  # noqa: PLC0415 - needs Google's clients
    except ModuleNotFoundError:
        raise LocalError(
            "Google's client libraries are not installed.", "Install them: pip install 'keyturn[cli,server,gcp]'."
        ) from None
    return EmulatorBackend(data or default_data() / "emulators", policy, dict(os.environ), _authoriser(), paths)


def _policy(min_not_before: timedelta | None, min_interval: timedelta | None, *, quick: bool) -> Policy:
    policy = QUICK if quick else Policy()
    if min_not_before is not None:
        policy = replace(policy, minimum_not_before_seconds=int(min_not_before.total_seconds()))
    if min_interval is not None:
        policy = replace(policy, minimum_interval_seconds=int(min_interval.total_seconds()))
    return policy


def _print_start(settings: Settings, freeze_reason: str, *, is_full: bool, json: bool) -> None:
    facts: dict[str, Any] = {
        "url": settings.base_url,
        "stage": settings.stage.value,
        **({"data": str(settings.data)} if settings.data else {}),
        **(_emulator_facts(settings.cloud) if settings.cloud else {}),
        "authoriser": settings.authoriser,
        **({"frozen": freeze_reason} if freeze_reason else {}),
        **({"disk_full": True} if is_full else {}),
    }
    if is_full:
        print_warning(
            "The disk of the data folder is full. Credentials are checked, and nothing else works until there is space."
        )
    if freeze_reason:
        print_warning(
            f"This data folder was {freeze_reason}. It sends nothing until you run `keyturn thaw` (see --help)."
        )
    if json:
        print_json(facts)
        return
    print_note("keyturn is running. Press Ctrl-C to stop it.")
    if settings.cloud:
        print_warning("The data is in the emulators' memory and is lost when they stop. The keys are kept.")
    print_facts([*facts.items(), ("next", "keyturn group create ops")])


def _emulator_facts(cloud: Cloud) -> dict[str, str | None]:
    return {
        "project": cloud.project,
        "firestore": cloud.firestore_emulator,
        "pubsub": cloud.pubsub_emulator,
        "kms": cloud.kms_emulator,
    }


def demo(
    *,
    emulators: Emulators = False,
    path: Paths = None,
    json: Json = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the demo's files in this new folder.", metavar="DIR")] = None,
) -> None:
    """Show a rotation without downtime, from an empty folder to the retired secret, in about half a minute.

    The demo runs real processes: three admins' devices, a server, and an integrator that checks the secret all the
    time.
    """
    from keyturn.local.demo.screen import run  # noqa: PLC0415 - the other commands need none of it

    paths = _path_form(path, emulators=emulators)
    run(keep, as_json=json, on_emulators=paths if emulators else None)


def doctor(*, data: Data = None, json: Json = False) -> None:
    """Check every invariant of a data folder, whether the suite is running or stopped. Exit code 1 if one is broken."""
    from keyturn.local.doctor import diagnose, open_folder  # noqa: PLC0415 - the other commands need no store
    from keyturn.local.doctor_report import report  # noqa: PLC0415 - the same

    diagnosis = diagnose(open_folder(data or default_data()))
    report(diagnosis, json=json)
    if diagnosis.breaches:
        raise typer.Exit(1)


def thaw(*, data: Data = None, json: Json = False) -> None:
    """Allow a copied or restored data folder to send again.

    MLS groups are re-created, and devices rejoin by themselves. First make sure that no other copy runs. Afterwards
    rotate every client that was rotated after the backup.
    """
    from keyturn.local.doctor import open_folder  # noqa: PLC0415 - the other commands need no store

    groups = open_folder(data or default_data()).freeze.thaw()
    if json:
        print_json({"groups": list(groups)})
    else:
        print_note(f"Re-created groups: {', '.join(groups)}." if groups else "The data folder was not frozen.")


@dead_letters.command("list")
def list_dead_letters(*, data: Data = None, json: Json = False) -> None:
    """List events that failed on their last attempt, oldest first."""
    from keyturn.local import dead_letters as letters  # noqa: PLC0415 - the other commands need no store

    letters.show(letters.dead_letters(data or default_data()), json=json)


@dead_letters.command("replay")
def replay_dead_letters(
    event_id: Annotated[str | None, typer.Argument(metavar="EVENT_ID", help="The dead letter to deliver.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Deliver all dead letters.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Deliver one dead letter again, or all of them. A running `keyturn up` starts at once."""
    from keyturn.local import dead_letters as letters  # noqa: PLC0415 - the other commands need no store

    count = letters.replay(data or default_data(), event_id, every=every)
    if json:
        print_json({"replayed": count})
    else:
        print_note(f"Scheduled for delivery: {count}.")
