"""Which written documents and which topics wake which door: declared once, wired by every deployment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trigger:
    """A write (create, update or delete) of a document that matches `pattern` wakes `door`, at least once."""

    pattern: str
    door: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A message published to `topic` wakes `door`, at least once."""

    topic: str
    door: str


TRIGGERS = (Trigger("oauth2_clients/{client}/secrets/{version}", "on_secret_version"),)
DISTRIBUTION_TOPIC = "secret-distribution"
SUBSCRIPTIONS = (Subscription(DISTRIBUTION_TOPIC, "distribute"),)
