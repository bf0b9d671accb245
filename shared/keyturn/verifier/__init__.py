"""Verify credentials and access tokens in a service of your own (docs/verifier.md).

    from keyturn.verifier import Guard, Verifier, WsgiGuard

    application = WsgiGuard(application, Guard(Verifier.from_environment()))

Every public name is imported on first use: this package loads neither Google's clients nor a web framework, unless a
name that you use needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.domain.errors import RateLimited
    from keyturn.ports.keys import KeyRefused, KeyUnavailable
    from keyturn.ports.store import StoreUnavailable
    from keyturn.verifier.callers import CallerTags, Salt
    from keyturn.verifier.environment import ServiceVerifier as Verifier
    from keyturn.verifier.failure_limits import FailureLimits
    from keyturn.verifier.imported_check import ImportedBusy
    from keyturn.verifier.middleware.asgi import AsgiGuard
    from keyturn.verifier.middleware.credentials import Denial, Guard
    from keyturn.verifier.middleware.fastapi import Authenticated
    from keyturn.verifier.middleware.wsgi import WsgiGuard
    from keyturn.verifier.retired_secrets import RetiredSecretDetector
    from keyturn.verifier.telemetry import Telemetry
    from keyturn.verifier.tokens import CheckedToken, TokenChecker
    from keyturn.verifier.verdict import Observer, Reason, Verdict
    from keyturn.verifier.verifier import Caching

__all__ = [
    "AsgiGuard",
    "Authenticated",
    "Caching",
    "CallerTags",
    "CheckedToken",
    "Denial",
    "FailureLimits",
    "Guard",
    "ImportedBusy",
    "KeyRefused",
    "KeyUnavailable",
    "Observer",
    "RateLimited",
    "Reason",
    "RetiredSecretDetector",
    "Salt",
    "StoreUnavailable",
    "Telemetry",
    "TokenChecker",
    "Verdict",
    "Verifier",
    "WsgiGuard",
]

_ORIGINS = {
    "AsgiGuard": "keyturn.verifier.middleware.asgi",
    "Authenticated": "keyturn.verifier.middleware.fastapi",
    "Caching": "keyturn.verifier.verifier",
    "CallerTags": "keyturn.verifier.callers",
    "CheckedToken": "keyturn.verifier.tokens",
    "Denial": "keyturn.verifier.middleware.credentials",
    "FailureLimits": "keyturn.verifier.failure_limits",
    "Guard": "keyturn.verifier.middleware.credentials",
    "ImportedBusy": "keyturn.verifier.imported_check",
    "KeyRefused": "keyturn.ports.keys",
    "KeyUnavailable": "keyturn.ports.keys",
    "Observer": "keyturn.verifier.verdict",
    "RateLimited": "keyturn.domain.errors",
    "Reason": "keyturn.verifier.verdict",
    "RetiredSecretDetector": "keyturn.verifier.retired_secrets",
    "Salt": "keyturn.verifier.callers",
    "StoreUnavailable": "keyturn.ports.store",
    "Telemetry": "keyturn.verifier.telemetry",
    "TokenChecker": "keyturn.verifier.tokens",
    "Verdict": "keyturn.verifier.verdict",
    "WsgiGuard": "keyturn.verifier.middleware.wsgi",
}


if not TYPE_CHECKING:  # a type checker sees the imports above, and reports a name that is not among them

    def __getattr__(name: str) -> object:
        """Import a public name on first use (PEP 562)."""
        if name == "Verifier":
            return importlib.import_module("keyturn.verifier.environment").ServiceVerifier
        if name not in _ORIGINS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_ORIGINS[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
