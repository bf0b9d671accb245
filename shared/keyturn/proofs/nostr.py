"""Signed Nostr events, strictly (NIP-01), with BIP-340 signatures.

1. The form is checked before anything is computed: lower-case hex of the right length, integers that are not booleans,
   tags that are lists of strings. Keys that NIP-01 does not define are ignored.
2. One text has exactly one meaning: duplicate JSON names, NaN, lone surrogates and invalid UTF-8 are refused.
3. The id is computed and compared, and the signature is verified over the computed id.
4. The caller limits the size, because it knows the length of the body before parsing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from coincurve import PrivateKey, PublicKeyXOnly

from keyturn.proofs.errors import Malformed, Unproven
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PRIVATE_KEY_BYTES = 32

_KEY_HEX = re.compile(r"[0-9a-f]{64}\Z")
_SIGNATURE_HEX = re.compile(r"[0-9a-f]{128}\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_KIND = 65_535
_MAX_SECONDS = 2**53 - 1  # the integers that every JSON parser represents exactly (RFC 8259 §6)
_NO_ID = "0" * 64
_NO_SIGNATURE = "0" * 128
# NIP-01 "Events and signatures": these seven characters are escaped, and no others.
_ESCAPES = str.maketrans(
    {"\n": "\\n", '"': '\\"', "\\": "\\\\", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"},
)


@dataclass(frozen=True, slots=True)
class Event:
    """A NIP-01 event: `id` and `pubkey` 64, `sig` 128 lower-case hex digits, `created_at` in Unix seconds.

    Id and signature are verified only in events from `open_event` and `sign_event`. The content can contain a bearer
    proof, so it is left out of the repr.
    """

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: tuple[tuple[str, ...], ...]
    content: str = field(repr=False)
    sig: str = field(repr=False)

    def tag(self, name: str) -> str | None:
        """Return the value of the first tag with that name, or None if there is none or it has no value."""
        return next((tag[1] if len(tag) > 1 else None for tag in self.tags if tag[0] == name), None)

    def tag_count(self, name: str) -> int:
        """Return how many tags have that name. Where two could contradict each other, require exactly one."""
        return sum(tag[0] == name for tag in self.tags)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON object of the event."""
        return {
            "id": self.id,
            "pubkey": self.pubkey,
            "created_at": self.created_at,
            "kind": self.kind,
            "tags": [list(tag) for tag in self.tags],
            "content": self.content,
            "sig": self.sig,
        }

    def to_json(self) -> str:
        """Return the event as compact JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))


def canonical(event: Event) -> bytes:
    """Return the serialization of an event: UTF-8, and its SHA-256 is the id (NIP-01 "Events and signatures")."""
    tags = ",".join("[" + ",".join(map(_quoted, tag)) + "]" for tag in event.tags)
    text = f'[0,"{event.pubkey}",{event.created_at},{event.kind},[{tags}],{_quoted(event.content)}]'
    return text.encode("utf-8")


def parse_event(data: bytes | str | Mapping[str, object]) -> Event:
    """Return a well-formed event. Its id and signature are **not** verified. Raises `Malformed` otherwise."""
    fields = data if isinstance(data, Mapping) else load_object(data)
    return Event(
        id=_hex(fields.get("id"), _KEY_HEX),
        pubkey=_hex(fields.get("pubkey"), _KEY_HEX),
        created_at=_integer(fields.get("created_at"), _MAX_SECONDS),
        kind=_integer(fields.get("kind"), _MAX_KIND),
        tags=_tags(fields.get("tags")),
        content=_text(fields.get("content")),
        sig=_hex(fields.get("sig"), _SIGNATURE_HEX),
    )


def open_event(data: bytes | str | Mapping[str, object]) -> Event:
    """Return an event with a valid id and signature.

    Raises `Malformed`, or `Unproven` with reason `wrong_event_id` or `bad_signature`.
    """
    event = parse_event(data)
    # Never trust the id in the event: audit entries and replay protection are keyed by it.
    digest = hashlib.sha256(canonical(event)).digest()
    if not hmac.compare_digest(digest, bytes.fromhex(event.id)):
        raise Unproven("wrong_event_id", "The event's id is not the hash of its content.")
    if not verify_signature(event.pubkey, digest, bytes.fromhex(event.sig)):
        raise Unproven("bad_signature", "The event's signature does not verify.")
    return event


def verify_signature(pubkey: str, digest: bytes, signature: bytes) -> bool:
    """Return whether a BIP-340 signature (`bytes, 64`) of a digest (`bytes, 32`) is by that key (64 hex digits)."""
    try:
        key = PublicKeyXOnly(bytes.fromhex(pubkey))
    except ValueError:  # BIP-340 "Verification": a key that is not on the curve is a failed verification
        return False
    return key.verify(signature, digest)


def sign_event(
    private_key: bytes,
    *,
    kind: int,
    tags: Iterable[Sequence[str]],
    content: str,
    created_at: int,
    random: Callable[[int], bytes],
) -> Event:
    """Return a signed event. `private_key` is `bytes, 32`, `created_at` in Unix seconds.

    `random(32)` is the auxiliary randomness of BIP-340. Raises `Malformed` for an invalid field, and `ValueError` for
    an invalid private key.
    """
    fields = {
        "id": _NO_ID,
        "pubkey": public_key(private_key),
        "created_at": created_at,
        "kind": kind,
        "tags": [list(tag) for tag in tags],
        "content": content,
        "sig": _NO_SIGNATURE,
    }
    draft = parse_event(fields)  # sign only what `parse_event` accepts
    digest = hashlib.sha256(canonical(draft)).digest()
    return replace(draft, id=digest.hex(), sig=sign_digest(private_key, digest, random).hex())


def sign_digest(private_key: bytes, digest: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return the BIP-340 signature (`bytes, 64`) over a digest (`bytes, 32`)."""
    return _private(private_key).sign_schnorr(digest, random(32))


def public_key(private_key: bytes) -> str:
    """Return the x-only public key, 64 hex digits. Raises `ValueError` for an invalid private key."""
    return _private(private_key).public_key_xonly.format().hex()


def _private(private_key: bytes) -> PrivateKey:
    if len(private_key) != PRIVATE_KEY_BYTES:  # coincurve would pad a shorter one
        raise ValueError("a private key has 32 bytes")
    return PrivateKey(private_key)


def _quoted(text: str) -> str:
    return '"' + text.translate(_ESCAPES) + '"'


def _hex(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        _refuse()
    return value


def _integer(value: object, maximum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        _refuse()
    return value


def _text(value: object) -> str:
    # A lone surrogate cannot be encoded as UTF-8, so the event would have no id.
    if not isinstance(value, str) or _SURROGATE.search(value):
        _refuse()
    return value


def _tags(value: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(tag, list | tuple) and tag for tag in value):
        _refuse()
    return tuple(tuple(map(_text, tag)) for tag in value)


def _refuse() -> NoReturn:
    raise Malformed("malformed_event", "This is not a well-formed Nostr event.")
