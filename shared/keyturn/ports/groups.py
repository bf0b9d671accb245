"""Groups: the service's own end of each MLS group, over sealed state that the store holds.

A session is one group opened in memory for one commit: its operations change the session only, and `sealed` is what the
commit writes beside the messages. Nothing that a session made may leave before that commit is won; lost, all is thrown
away (mls.md, "State and concurrency").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.store import Data


class GroupError(Exception):
    """A group's state, a message or a key package is not acceptable; nothing changed."""


class StaleEpoch(GroupError):  # noqa: N818 - it names the message, not a failure
    """The message is of an epoch whose keys are gone: its sender has to catch up and send again."""


class ForbiddenChange(GroupError):  # noqa: N818 - the same
    """A member's commit adds, removes, renames or re-keys somebody, or changes what the group is; `npub` made it."""

    def __init__(self, npub: str) -> None:
        super().__init__("a member's commit changes more than the member's own keys")
        self.npub = npub


@dataclass(frozen=True, slots=True)
class Leaf:
    """A member: leaf index and the Nostr key (64 lower-case hex digits) of its basic credential."""

    index: int
    npub: str


@dataclass(frozen=True, slots=True)
class OfferedKeyPackage:
    """What a device offers to be added by; `reference` is base64url of the KeyPackageRef (RFC 9420 §5.2)."""

    npub: str
    reference: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """What a member sent; `plaintext` is None for a path update of its own, which is then part of the session."""

    npub: str
    plaintext: bytes | None = field(repr=False)


class GroupSession(Protocol):
    """One opened group. Every operation may raise `GroupError` and then has changed nothing."""

    @property
    def epoch(self) -> int:
        """The MLS epoch after the operations so far."""
        ...

    @property
    def members(self) -> Sequence[Leaf]:
        """All leaves, the service's own among them, by index."""
        ...

    def add(self, key_package: bytes) -> tuple[bytes, bytes]:
        """Add a leaf; the commit for the others and the Welcome for the new member, both MLSMessages."""
        ...

    def update(self) -> bytes:
        """Replace the service's path secrets; the commit, an MLSMessage. What follows, no earlier state opens."""
        ...

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return an application message, an MLSMessage; its key is gone from the session."""
        ...

    def remove(self, index: int) -> bytes:
        """Remove a leaf; the commit, an MLSMessage."""
        ...

    def receive(self, message: bytes) -> Received:
        """Take in a member's message or path update; `StaleEpoch`, `ForbiddenChange` or another `GroupError`."""
        ...

    def sealed(self) -> Data:
        """Return the group's document: group_id, epoch, generation (one higher than what was opened), sealed state."""
        ...


class Groups(Protocol):
    """Opens sessions as the service member."""

    @property
    def npub(self) -> str:
        """The service member's Nostr key, 64 lower-case hex digits."""
        ...

    @property
    def relayed(self) -> bool:
        """Whether what the service says goes to outside relays, too (use_cases/publish_log.py)."""
        ...

    def create(self, group_id: str, now: datetime) -> GroupSession:
        """Start a group with the service as its only member."""
        ...

    def open(self, document: Data, now: datetime) -> GroupSession:
        """Unseal a group's document; `GroupError` if it is not what was sealed."""
        ...

    def read_key_package(self, data: bytes, now: datetime) -> OfferedKeyPackage:
        """Validate a key package (RFC 9420 §10.1), bare or as an MLSMessage; `GroupError` otherwise."""
        ...

    def envelope(
        self, kind: int, group_id: str, message: bytes, now: datetime, tags: Sequence[Sequence[str]] = ()
    ) -> str:
        """Return a Nostr event (JSON) signed by the service: content base64url(message), tag h, then `tags`."""
        ...
