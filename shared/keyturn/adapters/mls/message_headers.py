"""Reads the unencrypted header of MLS messages with `keyturn.mls`."""

from __future__ import annotations

import hashlib
from typing import Final

from keyturn.ports.message_headers import MessageHead, UnreadableMessage

_KINDS: Final = {1: "notice", 2: "proposal", 3: "commit"}
"""RFC 9420 §6: ContentType."""


def read_head(message: bytes) -> MessageHead:
    """Return the header of an MLSMessage. `UnreadableMessage` unless it is a PrivateMessage."""
    from keyturn.mls import MlsError  # noqa: PLC0415 - nothing heavy at import time
    from keyturn.mls.encoding import Reader  # noqa: PLC0415 - the same
    from keyturn.mls.framing import PRIVATE_MESSAGE, read_message_header  # noqa: PLC0415 - the same
    from keyturn.mls.private_message import PrivateMessage  # noqa: PLC0415 - the same

    reader = Reader(message)
    try:
        wire_format = read_message_header(reader)
        private = PrivateMessage.read(reader)
    except MlsError:
        raise UnreadableMessage from None
    if wire_format != PRIVATE_MESSAGE or reader:
        raise UnreadableMessage
    digests = (hashlib.sha256(part).digest() for part in (private.sender_data, private.ciphertext))
    return MessageHead(private.group_id, private.epoch, _KINDS[private.content_type], *digests)
