"""Wait until a rotation is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.cli.output import waiting
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NotPromotedError

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS = 1.0


def watch_rotation(
    read: Callable[[str], dict[str, object]], rotation_id: str, sleep: Callable[[float], None]
) -> dict[str, object]:
    """Read a rotation each second and show its progress. Return it when it is completed.

    Ctrl-C only ends the waiting: `NotPromotedError` with a hint.
    """
    try:
        with waiting("Waiting for the rotation") as show:
            rotation = read(rotation_id)
            while answers.text(rotation, "phase") != "completed":
                show(_progress(rotation))
                sleep(PAUSE_SECONDS)
                rotation = read(rotation_id)
    except KeyboardInterrupt:
        # The rotation runs on the server. Ctrl-C must not look like a cancellation.
        raise NotPromotedError(
            "Stopped waiting. The rotation goes on.", f"See its progress: `keyturn rotation show {rotation_id}`."
        ) from None
    return rotation


def _progress(rotation: dict[str, object]) -> str:
    acked = [str(item.get("user")) for item in answers.mappings(rotation, "acks")]
    people = f" ({', '.join(acked)})" if acked else ""
    quorum = answers.integer(rotation, "quorum")
    return f"{rotation['phase']}: acknowledged by {len(acked)} of {quorum}{people}"
