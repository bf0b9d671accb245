"""What receiving a message tells: values without secrets, apart from the plaintext that the caller came for."""

from dataclasses import dataclass, field
from typing import Self

from .encoding import Reader, uint32, vector
from .leaf_node import LeafNode
from .ratchet_tree import RatchetTree


@dataclass(frozen=True)
class Member:
    """A member as shown by its leaf. signature_key and encryption_key are bytes, 32."""

    leaf_index: int
    identity: bytes
    signature_key: bytes
    encryption_key: bytes

    @classmethod
    def of(cls, index: int, leaf: LeafNode) -> Self:
        """Take it from a leaf."""
        return cls(index, leaf.identity, leaf.signature_key, leaf.encryption_key)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a saved member."""
        return cls(reader.uint32(), reader.vector(), reader.vector(), reader.vector())

    def encode(self) -> bytes:
        """Encode to be saved."""
        return (
            uint32(self.leaf_index) + vector(self.identity) + vector(self.signature_key) + vector(self.encryption_key)
        )


def members_of(tree: RatchetTree) -> tuple[Member, ...]:
    """All members of a tree by leaf index."""
    return tuple(Member.of(index, leaf) for index, leaf in tree.leaves())


@dataclass(frozen=True)
class ApplicationReceived:
    """A decrypted application message, with its sender and epoch.

    steps: how many generations the sender's ratchet moved forward. It is 0 for the key of a generation jumped over.
    """

    sender: Member
    plaintext: bytes = field(repr=False)
    authenticated_data: bytes
    epoch: int
    steps: int


@dataclass(frozen=True)
class ProposalReceived:
    """A proposal is pending now. kind: the proposal type of RFC 9420 §17.4. reference: its ProposalRef (bytes, 32).

    subject: the member that would be removed, or the proposer's or newcomer's new key (leaf index 0 for a newcomer
    without a place yet). None for kinds that concern no single member.
    """

    sender: Member
    kind: int
    reference: bytes
    subject: Member | None
    epoch: int


@dataclass(frozen=True)
class CommitReceived:
    """A commit was applied. `epoch` is the new epoch.

    committer, committer_after: as it was before and as it is now: a commit with a path renews the committer's leaf.
    added, updated: as they are now, updated by Update proposals. removed: as they were. self_removed: this member is
    out, the group is inactive.
    """

    committer: Member
    committer_after: Member | None
    added: tuple[Member, ...]
    removed: tuple[Member, ...]
    updated: tuple[Member, ...]
    self_removed: bool
    epoch: int


Event = ApplicationReceived | ProposalReceived | CommitReceived
