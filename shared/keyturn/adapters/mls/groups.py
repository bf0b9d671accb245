"""MLS groups over `keyturn.mls`, as the service member sees them.

The sealed state is bound to its group, epoch and generation by associated data. So an old state put back into the store
does not unseal, and the service cannot be made to reuse a key or to return to an earlier epoch.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn import mls
from keyturn.domain.encodings import base64url_encode, length_prefixed
from keyturn.domain.key_packages import LEAST_REMAINING_LIFETIME, LONGEST_LIFETIME
from keyturn.mls.secret_tree import MOST_SKIPPED
from keyturn.ports.groups import ForbiddenChange, GroupError, Leaf, OfferedKeyPackage, Received, StaleEpoch
from keyturn.ports.keys import KeyRefused
from keyturn.proofs.nostr import sign_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from keyturn.adapters.mls.service_identity import ServiceIdentity
    from keyturn.ports.effects import Random
    from keyturn.ports.keys import Sealer
    from keyturn.ports.store import Data

_LEAF_LIFETIME = timedelta(days=84)
_LIFETIMES = mls.LifetimePolicy(LONGEST_LIFETIME, LEAST_REMAINING_LIFETIME)
_MOST_UNSAVED_STEPS = MOST_SKIPPED
"""How far a member's ratchet may run ahead of its saved state (ADR 0020).

A saved ratchet keeps the keys of so many generations that it jumped over, so a message that is late is still opened.
"""
MOST_LEAF_BYTES = 320
"""The largest leaf of a member. A member chooses what its leaf lists, and the group's document contains all leaves.

A leaf of `keyturn` has about 200 bytes. Without a bound, a few members could make the document too large to be written,
and their group would get no secret any more (docs/scale.md).
"""
MOST_KEY_PACKAGE_BYTES = MOST_LEAF_BYTES + 120
"""The largest key package: a leaf, and a public key and a signature of its own (RFC 9420 §10)."""
_CLOCK_DIFFERENCE = timedelta(hours=1)
"""A leaf is valid from an hour ago, because members' clocks may be behind (RFC 9420 §7.2)."""


@contextmanager
def _group_errors() -> Iterator[None]:
    try:
        yield
    except mls.WrongEpoch:
        raise StaleEpoch("the keys of the message's epoch are deleted") from None
    except (mls.MlsError, KeyRefused) as error:
        raise GroupError(type(error).__name__) from None


class MlsSession:
    """Implements `GroupSession`: one group, open for one commit."""

    def __init__(self, groups: MlsGroups, group: mls.Group, generation: int, now: datetime) -> None:
        self._groups = groups
        self._group = group
        self._generation = generation
        self._now = now

    @property
    def epoch(self) -> int:
        """The epoch after the operations so far."""
        return self._group.epoch

    @property
    def members(self) -> Sequence[Leaf]:
        """All leaves by index."""
        return [Leaf(member.leaf_index, member.identity.hex()) for member in self._group.members]

    def add(self, key_package: bytes) -> tuple[bytes, bytes]:
        """Return the commit that adds a leaf, and the Welcome.

        The commit has no path (RFC 9420 §12.4): a path update precedes every delivery anyway (docs/protocol.md §5).
        """
        message, welcome = self._commit(add=[key_package])
        return message, cast("bytes", welcome)

    def update(self) -> bytes:
        """Return the commit of a path update."""
        message, _ = self._commit()
        return message

    def remove(self, index: int) -> bytes:
        """Return the commit that removes a leaf."""
        message, _ = self._commit(remove=[index])
        return message

    def _commit(self, add: Sequence[bytes] = (), remove: Sequence[int] = ()) -> tuple[bytes, bytes | None]:
        with _group_errors():
            commit = self._group.commit(
                random=self._groups.random,
                now=self._now,
                add=add,
                remove=remove,
                include_pending=False,  # a member's proposal must never ride in on the service's commit
                path=not add,
                lifetimes=_LIFETIMES,
            )
        self._group = commit.group
        return commit.message, commit.welcome

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return an application message."""
        with _group_errors():
            self._group, message = self._group.encrypt(plaintext, random=self._groups.random)
        return message

    def receive(self, message: bytes) -> Received:
        """Process a member's message or path update."""
        with _group_errors():
            group, event = self._group.receive(message, now=self._now)
        if isinstance(event, mls.ApplicationReceived):
            self._group = group
            return Received(event.sender.identity.hex(), event.plaintext, must_save=event.steps >= _MOST_UNSAVED_STEPS)
        if not isinstance(event, mls.CommitReceived):
            raise GroupError("proposals are not accepted, only the service changes a group's membership")
        # A member's commit may replace its own keys (a path update) and nothing else.
        if _protected(self._group) != _protected(group):
            raise ForbiddenChange(event.committer.identity.hex())
        if group.leaf_bytes(event.committer.leaf_index) > MOST_LEAF_BYTES:
            raise ForbiddenChange(event.committer.identity.hex())
        self._group = group
        return Received(event.committer.identity.hex(), None)

    def sealed(self) -> Data:
        """Return the group's document with the next generation."""
        # Encryption changes the keys without a new epoch, so the epoch alone would not tell two states apart.
        generation = self._generation + 1
        group_id = self._group.group_id.decode("utf-8")
        state = self._group.expire(self._now).to_bytes()
        sealed = self._groups.sealer.seal(state, _associated_data(group_id, self.epoch, generation))
        return {"group_id": group_id, "epoch": self.epoch, "generation": generation, "sealed": sealed}


def _protected(group: mls.Group) -> object:
    """Return the parts that no member's commit may change: members, signature keys, extensions, activity."""
    members = [(member.leaf_index, member.identity, member.signature_key) for member in group.members]
    return members, group.extensions, group.is_active


class MlsGroups:
    """Implements `Groups`. Reads the service's identity on first use."""

    def __init__(
        self, identity: Callable[[], ServiceIdentity], sealer: Sealer, random: Random, *, relayed: bool = False
    ) -> None:
        self._load_identity = identity
        self.sealer = sealer
        self.random = random
        self.relayed = relayed

    @functools.cached_property
    def _identity(self) -> ServiceIdentity:
        return self._load_identity()

    @property
    def npub(self) -> str:
        """The service member's Nostr key."""
        return self._identity.npub

    def create(self, group_id: str, now: datetime) -> MlsSession:
        """Create a group with the service as its only member."""
        identity = self._identity
        own = mls.create_key_package(
            bytes.fromhex(identity.npub),
            identity.signature_seed,
            not_before=now - _CLOCK_DIFFERENCE,
            not_after=now + _LEAF_LIFETIME,
            random=self.random,
        )
        return MlsSession(self, mls.Group.create(group_id.encode("utf-8"), own, random=self.random, now=now), 0, now)

    def open(self, document: Data, now: datetime) -> MlsSession:
        """Unseal a group's document."""
        group_id, sealed = cast("str", document["group_id"]), cast("bytes", document["sealed"])
        epoch, generation = cast("int", document["epoch"]), cast("int", document["generation"])
        with _group_errors():
            state = self.sealer.unseal(sealed, _associated_data(group_id, epoch, generation))
            return MlsSession(self, mls.Group.from_bytes(state, now=now), generation, now)

    def read_key_package(self, data: bytes, now: datetime) -> OfferedKeyPackage:
        """Validate a key package."""
        with _group_errors():
            view = mls.read_key_package(data, now=now, lifetimes=_LIFETIMES)
        if len(view.data) > MOST_KEY_PACKAGE_BYTES:
            raise GroupError("the key package is too large")
        return OfferedKeyPackage(view.identity.hex(), base64url_encode(view.reference), view.data)

    def envelope(
        self, kind: int, group_id: str, message: bytes, now: datetime, tags: Sequence[Sequence[str]] = ()
    ) -> str:
        """Return a signed Nostr event that carries an MLSMessage."""
        event = sign_event(
            self._identity.private_key,
            kind=kind,
            tags=[["h", group_id], *tags],
            content=base64url_encode(message),
            created_at=int(now.timestamp()),
            random=self.random,
        )
        return event.to_json()


def _associated_data(group_id: str, epoch: int, generation: int) -> bytes:
    return length_prefixed("keyturn/mls-group/v1", group_id, str(epoch), str(generation))
