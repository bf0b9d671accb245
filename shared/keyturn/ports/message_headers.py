"""Message heads: the part of an MLS message that can be read without any key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


class UnreadableMessage(Exception):  # noqa: N818 - it names the message, not the exception
    """The bytes are not an encrypted MLS message."""


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
"""MLSMessage → its head. Raises `UnreadableMessage` unless it is an encrypted message."""
