"""The events that start a function: document writes and published messages, declared once for every deployment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trigger:
    """A write (create, update or delete) of a document that matches `pattern` starts `function`, at least once."""

    pattern: str
    function: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A message published to `topic` starts `function`, at least once."""

    topic: str
    function: str


TRIGGERS = (Trigger("oauth2_clients/{client}/secrets/{version}", "on_secret_version"),)
DISTRIBUTION_TOPIC = "secret-distribution"
SUBSCRIPTIONS = (Subscription(DISTRIBUTION_TOPIC, "distribute"),)
