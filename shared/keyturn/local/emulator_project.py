"""The project behind `--emulators`: Firestore, Pub/Sub and our own emulator of Cloud KMS, and their files in a folder.

    DIR/keys.json        the keys behind the KMS emulator. Permanent.
    DIR/entrance.secret  the secret in the webhooks' URLs (emulator_webhooks.py). Permanent: running emulators know it.
    DIR/emulators.json   the emulators' addresses while they are in use (emulator_addresses.py)

The data lives in the emulators' memory and is lost when they stop. An emulator that runs already (`*_EMULATOR_HOST`) is
used and not stopped.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from keyturn.adapters.google_kms.keys import CloudKeyNames
from keyturn.entry.config.settings import Cloud
from keyturn.local.emulator_addresses import published_addresses
from keyturn.local.emulators import start_firestore, start_pubsub
from keyturn.local.errors import unusable
from keyturn.local.kms_emulator import RING, KmsEmulator
from keyturn.local.machine import write_secret
from keyturn.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.local.emulators import Emulator

PROJECT = "keyturn-local"
FIRESTORE_VARIABLE = "FIRESTORE_EMULATOR_HOST"
PUBSUB_VARIABLE = "PUBSUB_EMULATOR_HOST"
SECRET = "entrance.secret"  # noqa: S105 - a file's name
KEYS = "keys.json"
SECRET_BYTES = 24


@contextmanager
def emulators(folder: Path, functions: str, environment: Mapping[str, str]) -> Iterator[Cloud]:
    """Provide a project on this machine while the context lasts. `LocalError` if an emulator cannot be used.

    `functions` (`address:port`) is where a Firestore emulator started here posts events. A running one must have been
    started with that address.
    """
    starts: Sequence[Callable[[], _RunningEmulator | Emulator]] = (
        lambda: _running_emulator(environment.get(FIRESTORE_VARIABLE)) or start_firestore(functions=functions),
        lambda: _running_emulator(environment.get(PUBSUB_VARIABLE)) or start_pubsub(),
    )
    with _kms_emulator(folder) as kms, _started(starts) as (firestore, pubsub):
        cloud = local_cloud(firestore.host, pubsub.host, kms.host)
        with published_addresses(folder, cloud):
            yield cloud


def local_cloud(firestore: str, pubsub: str, kms: str) -> Cloud:
    """Return the project with emulators at these addresses (`address:port`)."""
    names = CloudKeyNames.of_ring(RING)
    return Cloud(
        project=PROJECT,
        control="control",
        auth="auth",
        usage="usage",
        mac_key=names.mac,
        seal_key=names.seal,
        sign_key=names.sign,
        firestore_emulator=firestore,
        pubsub_emulator=pubsub,
        kms_emulator=kms,
    )


def webhook_secret(folder: Path) -> str:
    """Return the secret in the webhooks' URLs, created on first use."""
    path = folder / SECRET
    if not path.exists():
        write_secret(path, secrets.token_hex(SECRET_BYTES))
    return path.read_text("ascii").strip()


class _RunningEmulator:
    """An emulator that was started elsewhere, and is not stopped here."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it running."""


def _running_emulator(host: str | None) -> _RunningEmulator | Emulator | None:
    return _RunningEmulator(host) if host else None


@contextmanager
def _started(
    starts: Sequence[Callable[[], _RunningEmulator | Emulator]],
) -> Iterator[Sequence[_RunningEmulator | Emulator]]:
    """Start emulators at the same time, and stop them with the context. If one does not start, none is left."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(starts)) as pool:
            starting = [pool.submit(start) for start in starts]
        for emulator in starting:
            if emulator.exception() is None:
                stack.enter_context(emulator.result())
        yield [emulator.result() for emulator in starting]


@contextmanager
def _kms_emulator(folder: Path) -> Iterator[KmsEmulator]:
    try:
        emulator = KmsEmulator(folder / KEYS)
    except KeyUnavailable as error:
        raise unusable("The key file", error) from None
    with emulator:
        yield emulator
