"""Staying with a rotation until it has ended."""

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
    """Read a rotation each second, tell its progress, and return it once it is completed.

    Ctrl-C leaves it running: `EndedOtherwiseError` with a hint.
    """
    try:
        with waiting("Waiting for the rotation") as tell:
            rotation = read(rotation_id)
            while answers.text(rotation, "phase") != "completed":
                tell(_progress(rotation))
                sleep(PAUSE_SECONDS)
                rotation = read(rotation_id)
    except KeyboardInterrupt:
        raise NotPromotedError(
            "No longer waiting; the rotation goes on.", f"See how far it is: `keyturn rotation show {rotation_id}`."
        ) from None
    return rotation


def _progress(rotation: dict[str, object]) -> str:
    acked = [str(item.get("user")) for item in answers.mappings(rotation, "acks")]
    people = f" ({', '.join(acked)})" if acked else ""
    quorum = answers.integer(rotation, "quorum")
    return f"{rotation['phase']}: acknowledged by {len(acked)} of {quorum}{people}"
