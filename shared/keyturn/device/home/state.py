"""`state.sealed`: everything that a device keeps, in one sealed file, so that what belongs together changes together.

A group's state, the cursor into its log and the notice just read from it are one change: a message key is used up by
reading, so a crash between them would lose the notice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.home.errors import DamagedError, NewerVersionError
from keyturn.device.home.sealing import seal, unseal
from keyturn.domain.encodings import base64url_decode, base64url_encode, length_prefixed
from keyturn.domain.errors import Refusal
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = 1
_MAGIC = b"keyturn-state"

Key = tuple[str, str]
"""Kind and id of a record, such as ("group", "admins")."""


@dataclass(frozen=True, slots=True)
class State:
    """The device's private key (`bytes, 32`), its records, and how many times they have changed."""

    counter: int
    private_key: bytes = field(repr=False)
    records: Mapping[Key, bytes] = field(repr=False)

    def changed(self, changes: Mapping[Key, bytes | None]) -> State:
        """Return the next state: each record set, or gone where None."""
        merged = {**self.records, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        return State(self.counter + 1, self.private_key, kept)


def seal_state(state: State, data_key: bytes, public_key: str, random: Callable[[int], bytes]) -> bytes:
    """Return the file's content, bound to its name, its version and the device's public key."""
    return _MAGIC + bytes([VERSION]) + seal(data_key, _encode(state), _associated_data(public_key), random)


def open_state(data: bytes, data_key: bytes, public_key: str) -> State:
    """Return the state; `NewerVersionError` or `DamagedError` if it is not what we sealed."""
    magic, version, sealed = data[: len(_MAGIC)], data[len(_MAGIC) : len(_MAGIC) + 1], data[len(_MAGIC) + 1 :]
    if magic != _MAGIC or not version:
        raise DamagedError
    if version[0] > VERSION:
        raise NewerVersionError
    plaintext = unseal(data_key, sealed, _associated_data(public_key)) if version[0] == VERSION else None
    if plaintext is None:
        raise DamagedError
    return _decode(plaintext)


def _associated_data(public_key: str) -> bytes:
    return length_prefixed("keyturn/device-state", str(VERSION), public_key)


def _encode(state: State) -> bytes:
    rows = [[kind, name, base64url_encode(value)] for (kind, name), value in sorted(state.records.items())]
    key = base64url_encode(state.private_key)
    fields = {"counter": state.counter, "private_key": key, "records": rows}
    return json.dumps(fields).encode("ascii")  # escaped: no id can make the encoder fail with all of this in its error


def _decode(plaintext: bytes) -> State:
    try:
        fields = load_object(plaintext)
        counter, key, rows = fields["counter"], fields["private_key"], fields["records"]
        if not isinstance(counter, int) or not isinstance(key, str) or not isinstance(rows, list):
            raise DamagedError
        records = {(kind, name): base64url_decode(value) for kind, name, value in rows}
        return State(counter, base64url_decode(key), records)
    except (Refusal, KeyError, TypeError, ValueError, AttributeError):
        raise DamagedError from None
