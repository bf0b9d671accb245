"""Errors of running the suite on one machine: a sentence, and a hint how to fix it."""

from __future__ import annotations

from keyturn.device.core.errors import DeviceError


class LocalError(DeviceError):
    """A file, port, program or emulator on this machine cannot be used. Nothing was changed."""
