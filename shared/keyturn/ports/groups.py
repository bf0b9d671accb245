"""Groups: the service's membership in each MLS group, over sealed state in the store (docs/protocol.md §12).

A session is one group, opened in memory for one commit. Its operations change the session only. The commit writes the
result of `sealed` together with the messages. No message may leave before that commit has succeeded. After a lost race
the session and its messages are thrown away, so that no key of the MLS key schedule is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.store import Data


class GroupError(Exception):
    """A group's state, a message or a key package is not acceptable. Nothing has changed."""


class StaleEpoch(GroupError):  # noqa: N818 - it names the message, not a failure
    """The keys of the message's epoch are deleted. Its sender must catch up and send it again."""


class ForbiddenChange(GroupError):  # noqa: N818 - the same
    """A member's commit changes other members or the group itself. `npub` is the member's key.

    Members can only replace their own keys. Only the service adds and removes members.
    """

    def __init__(self, npub: str) -> None:
        super().__init__("a member's commit changes more than the member's own keys")
        self.npub = npub


@dataclass(frozen=True, slots=True)
class Leaf:
    """A member: its leaf index, and the Nostr key (64 lower-case hex digits) in its basic credential."""

    index: int
    npub: str


@dataclass(frozen=True, slots=True)
class OfferedKeyPackage:
    """A device's key package. `reference` is base64url of the KeyPackageRef (RFC 9420 §5.2)."""

    npub: str
    reference: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """A member's message. `plaintext` is None for a path update, which the session has then applied."""

    npub: str
    plaintext: bytes | None = field(repr=False)
    must_save: bool = True
    """Whether the session's state must be stored with the message. If not, the state that was opened stays good."""


class GroupSession(Protocol):
    """One opened group. Every operation can raise `GroupError`, and then has changed nothing."""

    @property
    def epoch(self) -> int:
        """The MLS epoch after all operations so far."""
        ...

    @property
    def members(self) -> Sequence[Leaf]:
        """All leaves by index, including the service's own."""
        ...

    def add(self, key_package: bytes) -> tuple[bytes, bytes]:
        """Add a leaf. Return the commit for the other members and the Welcome for the new one, both MLSMessages."""
        ...

    def update(self) -> bytes:
        """Replace the service's path secrets. Return the commit. No earlier state opens later messages."""
        ...

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return an application message, an MLSMessage. Its key is deleted from the session."""
        ...

    def remove(self, index: int) -> bytes:
        """Remove a leaf. Return the commit, an MLSMessage."""
        ...

    def receive(self, message: bytes) -> Received:
        """Process a member's message or path update. Raises `StaleEpoch`, `ForbiddenChange` or another `GroupError`."""
        ...

    def sealed(self) -> Data:
        """Return the group's document: group_id, epoch, generation (one higher than when opened), sealed state."""
        ...


class Groups(Protocol):
    """Opens sessions as the service member."""

    @property
    def npub(self) -> str:
        """The service member's Nostr key, 64 lower-case hex digits."""
        ...

    @property
    def relayed(self) -> bool:
        """Whether the service's messages are also published at relays (use_cases/groups/relay_outbox.py)."""
        ...

    def create(self, group_id: str, now: datetime) -> GroupSession:
        """Start a group with the service as its only member."""
        ...

    def open(self, document: Data, now: datetime) -> GroupSession:
        """Unseal a group's document. Raises `GroupError` if the sealed bytes were changed."""
        ...

    def read_key_package(self, data: bytes, now: datetime) -> OfferedKeyPackage:
        """Validate a key package (RFC 9420 §10.1), bare or as an MLSMessage. Raises `GroupError` otherwise."""
        ...

    def envelope(
        self, kind: int, group_id: str, message: bytes, now: datetime, tags: Sequence[Sequence[str]] = ()
    ) -> str:
        """Return a Nostr event (JSON) signed by the service, with content base64url(message), tag h, then `tags`."""
        ...
