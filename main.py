"""Loads one function by name. Cloud Run functions start it here (FUNCTION_TARGET names the function)."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import flask

sys.path.insert(0, str(Path(__file__).parent / "shared"))  # the source root of `keyturn`

FUNCTIONS = (
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
    """Return a function, importing only what it needs: a missing dependency of one must not stop another."""
    if name not in FUNCTIONS:
        raise AttributeError(name)
    module = importlib.import_module(f"functions.{name}.main")
    if name == "client_token":  # the only function that signs tokens
        importlib.import_module("keyturn.entry.handlers.client_token").open_sign_key(os.environ)
    function: Callable[[flask.Request], flask.Response] = getattr(module, name)
    return function
