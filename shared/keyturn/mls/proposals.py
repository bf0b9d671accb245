"""Proposals and commits as they travel (RFC 9420 §12.1, §12.4)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from .encoding import Reader, optional, uint8, uint16, uint32, vector, vector_of
from .errors import MalformedMessage, UnsupportedFeature
from .extensions import Extensions, encode_extensions, read_extensions
from .key_package import KeyPackage
from .leaf_node import LeafNode
from .psk import PskId
from .update_path import UpdatePath

BY_VALUE, BY_REFERENCE = 1, 2


@dataclass(frozen=True)
class Add:
    """Propose a new member (RFC 9420 §12.1.1)."""

    kind: ClassVar[int] = 1
    key_package: KeyPackage

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an Add."""
        return cls(KeyPackage.read(reader))

    def encode(self) -> bytes:
        """Encode as Add."""
        return self.key_package.encode()


@dataclass(frozen=True)
class Update:
    """Propose a new leaf of the sender's own (RFC 9420 §12.1.2)."""

    kind: ClassVar[int] = 2
    leaf: LeafNode

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an Update."""
        return cls(LeafNode.read(reader))

    def encode(self) -> bytes:
        """Encode as Update."""
        return self.leaf.encode()


@dataclass(frozen=True)
class Remove:
    """Propose that a member, given by leaf index, leaves (RFC 9420 §12.1.3)."""

    kind: ClassVar[int] = 3
    removed: int

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a Remove."""
        return cls(reader.uint32())

    def encode(self) -> bytes:
        """Encode as Remove."""
        return uint32(self.removed)


@dataclass(frozen=True)
class PreSharedKey:
    """Propose that a pre-shared key enters the key schedule (RFC 9420 §12.1.4)."""

    kind: ClassVar[int] = 4
    psk: PskId

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a PreSharedKey."""
        return cls(PskId.read(reader))

    def encode(self) -> bytes:
        """Encode as PreSharedKey."""
        return self.psk.encode()


@dataclass(frozen=True)
class ReInit:
    """Propose another group in this one's place (RFC 9420 §12.1.5): read, never followed."""

    kind: ClassVar[int] = 5
    group_id: bytes
    version: int
    cipher_suite: int
    extensions: Extensions

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a ReInit."""
        return cls(reader.vector(), reader.uint16(), reader.uint16(), read_extensions(reader))

    def encode(self) -> bytes:
        """Encode as ReInit."""
        parameters = uint16(self.version) + uint16(self.cipher_suite)
        return vector(self.group_id) + parameters + encode_extensions(self.extensions)


@dataclass(frozen=True)
class ExternalInit:
    """Part of an external commit (RFC 9420 §12.1.6): read, never followed."""

    kind: ClassVar[int] = 6
    kem_output: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an ExternalInit."""
        return cls(reader.vector())

    def encode(self) -> bytes:
        """Encode as ExternalInit."""
        return vector(self.kem_output)


@dataclass(frozen=True)
class GroupContextExtensions:
    """Propose new extensions of the group context (RFC 9420 §12.1.7)."""

    kind: ClassVar[int] = 7
    extensions: Extensions

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a GroupContextExtensions."""
        return cls(read_extensions(reader))

    def encode(self) -> bytes:
        """Encode as GroupContextExtensions."""
        return encode_extensions(self.extensions)


Proposal = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions
KINDS: dict[int, type[Proposal]] = {
    proposal.kind: proposal
    for proposal in (Add, Update, Remove, PreSharedKey, ReInit, ExternalInit, GroupContextExtensions)
}


def read_proposal(reader: Reader) -> Proposal:
    """Read a Proposal. Raises UnsupportedFeature on an unknown type, because its length is unknown."""
    kind = KINDS.get(reader.uint16())
    if kind is None:
        raise UnsupportedFeature("a proposal is of an unknown type", "RFC 9420 §12.1")
    return kind.read(reader)


def encode_proposal(proposal: Proposal) -> bytes:
    """Encode as Proposal."""
    return uint16(proposal.kind) + proposal.encode()


@dataclass(frozen=True)
class Reference:
    """A ProposalRef (RFC 9420 §5.2): 32 bytes."""

    value: bytes


def _read_entry(reader: Reader) -> Proposal | Reference:
    kind = reader.uint8()
    if kind == BY_VALUE:
        return read_proposal(reader)
    if kind == BY_REFERENCE:
        return Reference(reader.vector())
    raise MalformedMessage("a committed proposal is neither value nor reference", "RFC 9420 §12.4")


def _encode_entry(entry: Proposal | Reference) -> bytes:
    if isinstance(entry, Reference):
        return uint8(BY_REFERENCE) + vector(entry.value)
    return uint8(BY_VALUE) + encode_proposal(entry)


@dataclass(frozen=True)
class CommitContent:
    """A Commit (RFC 9420 §12.4): proposals by value or by reference, and the committer's path."""

    proposals: tuple[Proposal | Reference, ...]
    path: UpdatePath | None

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a Commit."""
        return cls(reader.vector_of(_read_entry), reader.optional(UpdatePath.read))

    def encode(self) -> bytes:
        """Encode as Commit."""
        path = None if self.path is None else self.path.encode()
        return vector_of(map(_encode_entry, self.proposals)) + optional(path)
