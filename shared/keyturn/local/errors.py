"""Errors of running the suite on one machine: a sentence, and a hint what to do."""

from __future__ import annotations

from keyturn.device.core.errors import DeviceError


class LocalError(DeviceError):
    """Something on this machine is not as it must be; nothing was changed."""
