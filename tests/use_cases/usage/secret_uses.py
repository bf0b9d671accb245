"""Uses of an old and a new secret, over days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.world import CLIENT, gateway

if TYPE_CHECKING:
    from tests.world import World


GRACE_MS = 14 * 24 * 3_600_000


def use(world: World, secret: str, address: str = "203.0.113.7", agent: str = "web/1.2", times: int = 1) -> None:
    """Present a secret, as a caller does, and write down what was counted."""
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret, "User-Agent": agent}
    for _ in range(times):
        gateway().open(
            "/client_token/check", method="POST", headers=headers, environ_overrides={"REMOTE_ADDR": address}
        )
    world.suite.verification.telemetry.flush()


def begun(world: World, **policy: int | bool) -> tuple[str, str]:
    """Found a client that used its secret once a day for ten days, and bring it a second one; both secrets."""
    world.found("alice", "bob", policy=policy)
    world.sweep()
    old = world.issue("alice", "bob", grace_milliseconds=GRACE_MS)
    for _ in range(10):
        use(world, old)
        world.clock.advance(hours=24)
    return old, world.issue("alice", "bob", grace_milliseconds=GRACE_MS)


def moved(world: World, new: str, days: int) -> None:
    """Let days pass, in which the new secret is used, and the telemetry of this process is alive."""
    for _ in range(days):
        world.clock.advance(hours=24)
        use(world, new)
        world.sweep()
