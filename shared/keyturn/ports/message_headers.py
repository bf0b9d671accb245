"""Message heads: what every reader of a group's log can see of an MLS message without any key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


class UnreadableMessage(Exception):  # noqa: N818 - it names the message, not the exception
    """These bytes are no encrypted MLS message."""


@dataclass(frozen=True, slots=True)
class MessageHead:
    """The clear part of a PrivateMessage (RFC 9420 §6.3), and a digest (`bytes, 32`) of each encrypted part.

    `kind` is `commit`, `notice` (application data) or `proposal`; `sender_data` and `ciphertext` are SHA-256 digests.
    """

    group_id: bytes
    epoch: int
    kind: str
    sender_data: bytes
    ciphertext: bytes


ReadHead: TypeAlias = Callable[[bytes], MessageHead]
"""MLSMessage → its head; `UnreadableMessage` for anything else than an encrypted message."""
