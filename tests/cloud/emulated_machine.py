"""A real `keyturn up --emulators` in its own process; its emulators outlive it, as the cloud does its functions."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from keyturn.local.emulators import start_firestore, start_pubsub

from tests.local.real_machine import Machine, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def emulated_machine(folder: Path) -> Iterator[Machine]:
    """Give a machine that was not started yet; it and its emulators are gone in the end."""
    port = free_port()
    with ExitStack() as stack:
        firestore = stack.enter_context(start_firestore(functions=f"127.0.0.1:{port}"))
        pubsub = stack.enter_context(start_pubsub())
        given = {"FIRESTORE_EMULATOR_HOST": firestore.host, "PUBSUB_EMULATOR_HOST": pubsub.host}
        machine = Machine(folder, port, options=["--emulators"], variables=given)
        stack.callback(machine.end)
        yield machine
