"""Loads one door, by name: what Cloud Run functions and the local gateway both start (FUNCTION_TARGET names it)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import flask

sys.path.insert(0, str(Path(__file__).parent / "shared"))  # the source root of `keyturn`

DOORS = (
    "admin_proof",
    "client_token",
    "distribute",
    "enrol",
    "grace_sweeper",
    "on_secret_version",
    "operator",
    "rotate_request",
    "status",
)


def __getattr__(name: str) -> Callable[[flask.Request], flask.Response]:
    """Return a door, importing nothing but what it needs."""
    if name not in DOORS:
        raise AttributeError(name)
    door: Callable[[flask.Request], flask.Response] = getattr(importlib.import_module(f"functions.{name}.main"), name)
    return door
