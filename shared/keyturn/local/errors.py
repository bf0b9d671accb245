"""Errors of running the suite on one machine: a sentence, and a hint how to fix it."""

from __future__ import annotations

from keyturn.device.core.errors import DeviceError
from keyturn.ports.keys import KeyDamaged
from keyturn.ports.store import StoreDamaged, StoreFull


class LocalError(DeviceError):
    """A file, port, program or emulator on this machine cannot be used. Nothing was changed."""


def unusable(what: str, error: Exception) -> LocalError:
    """Return the error for a store or keys that cannot be used. Only damage is a reason to restore a backup."""
    if isinstance(error, StoreDamaged | KeyDamaged):
        hint = "Nothing was changed. Restore it from a backup, or choose another folder with --data."
    elif isinstance(error, StoreFull):
        hint = "Nothing was changed, and nothing is damaged. Free some space on that disk and start again."
    else:
        hint = "Nothing was changed, and nothing is damaged. Remove that cause, or choose another folder with --data."
    return LocalError(f"{what} cannot be used: {error}.", hint)


def unwritable_state() -> LocalError:
    """Return the error for a state folder that cannot be written."""
    return LocalError(
        "The state folder can't be written.",
        "Set XDG_STATE_HOME to a folder that this user may write. By default it is ~/.local/state.",
    )
