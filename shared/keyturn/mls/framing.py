"""Message framing: the signed content and its authenticated forms (RFC 9420 §6)."""

from dataclasses import dataclass, field
from typing import Self

from .cipher_suite import VERSION, ref_hash, sign_with_label, verify_with_label
from .encoding import Reader, uint8, uint16, uint32, uint64, vector
from .errors import MalformedMessage, UnsupportedFeature
from .proposals import CommitContent, Proposal, encode_proposal, read_proposal

PUBLIC_MESSAGE, PRIVATE_MESSAGE, WELCOME, GROUP_INFO = 1, 2, 3, 4
APPLICATION, PROPOSAL, COMMIT = 1, 2, 3
MEMBER, EXTERNAL, NEW_MEMBER_PROPOSAL, NEW_MEMBER_COMMIT = 1, 2, 3, 4
Body = bytes | Proposal | CommitContent


def message_header(wire_format: int) -> bytes:
    """Encode the start of an MLSMessage (RFC 9420 §6)."""
    return uint16(VERSION) + uint16(wire_format)


def read_message_header(reader: Reader) -> int:
    """Read the start of an MLSMessage: its wire format. Raises UnsupportedFeature on another version."""
    if reader.uint16() != VERSION:
        raise UnsupportedFeature("the message is of another version", "RFC 9420 §6")
    return reader.uint16()


def read_body(content_type: int, reader: Reader) -> Body:
    """Read a body of that content type. Raises MalformedMessage on an unknown one."""
    if content_type == APPLICATION:
        return reader.vector()
    if content_type == PROPOSAL:
        return read_proposal(reader)
    if content_type == COMMIT:
        return CommitContent.read(reader)
    raise MalformedMessage("a message is of an unknown content type", "RFC 9420 §6")


def encode_body(body: Body) -> bytes:
    """Encode a body without its content type."""
    if isinstance(body, bytes):
        return vector(body)
    return body.encode() if isinstance(body, CommitContent) else encode_proposal(body)


def content_type_of(body: Body) -> int:
    """Return the content type of a body."""
    if isinstance(body, bytes):
        return APPLICATION
    return COMMIT if isinstance(body, CommitContent) else PROPOSAL


@dataclass(frozen=True)
class Sender:
    """A sender: its type, and the leaf (or external sender) index where the type has one."""

    kind: int
    index: int = 0

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a Sender. Raises MalformedMessage on an unknown type."""
        kind = reader.uint8()
        if kind not in (MEMBER, EXTERNAL, NEW_MEMBER_PROPOSAL, NEW_MEMBER_COMMIT):
            raise MalformedMessage("a sender is of an unknown type", "RFC 9420 §6")
        return cls(kind, reader.uint32() if kind in (MEMBER, EXTERNAL) else 0)

    def encode(self) -> bytes:
        """Encode as Sender."""
        return uint8(self.kind) + (uint32(self.index) if self.kind in (MEMBER, EXTERNAL) else b"")


@dataclass(frozen=True)
class FramedContent:
    """A message's content, group, epoch and sender (RFC 9420 §6)."""

    group_id: bytes
    epoch: int
    sender: Sender
    authenticated_data: bytes
    body: Body = field(repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a FramedContent."""
        head = reader.vector(), reader.uint64(), Sender.read(reader), reader.vector()
        return cls(*head, read_body(reader.uint8(), reader))

    def encode(self) -> bytes:
        """Encode as FramedContent."""
        head = vector(self.group_id) + uint64(self.epoch) + self.sender.encode() + vector(self.authenticated_data)
        return head + uint8(self.content_type) + encode_body(self.body)

    @property
    def content_type(self) -> int:
        """Content type of the body."""
        return content_type_of(self.body)

    def tbs(self, wire_format: int, context: bytes) -> bytes:
        """Encode FramedContentTBS (RFC 9420 §6.1). `context` is the encoded GroupContext."""
        inside = self.sender.kind in (MEMBER, NEW_MEMBER_COMMIT)
        return uint16(VERSION) + uint16(wire_format) + self.encode() + (context if inside else b"")


@dataclass(frozen=True)
class AuthenticatedContent:
    """Content with its signature and, for a commit, the confirmation tag (RFC 9420 §6.1)."""

    wire_format: int
    content: FramedContent
    signature: bytes
    confirmation_tag: bytes = b""

    @classmethod
    def sign(cls, wire_format: int, content: FramedContent, context: bytes, seed: bytes) -> Self:
        """Sign content in the epoch of the encoded GroupContext `context`. A commit gets its tag later."""
        return cls(wire_format, content, sign_with_label(seed, "FramedContentTBS", content.tbs(wire_format, context)))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an AuthenticatedContent."""
        wire_format, content = reader.uint16(), FramedContent.read(reader)
        return cls(wire_format, content, *read_auth(content.content_type, reader))

    def encode(self) -> bytes:
        """Encode as AuthenticatedContent."""
        return uint16(self.wire_format) + self.content.encode() + self.auth()

    def auth(self) -> bytes:
        """Encode FramedContentAuthData."""
        tag = vector(self.confirmation_tag) if self.content.content_type == COMMIT else b""
        return vector(self.signature) + tag

    def verify(self, context: bytes, public: bytes) -> None:
        """Check the signature (RFC 9420 §6.1). Raises InvalidSignature when it does not verify."""
        tbs = self.content.tbs(self.wire_format, context)
        verify_with_label(public, "FramedContentTBS", tbs, self.signature)

    def transcript_input(self) -> bytes:
        """Encode ConfirmedTranscriptHashInput (RFC 9420 §8.2)."""
        return uint16(self.wire_format) + self.content.encode() + vector(self.signature)

    def reference(self) -> bytes:
        """ProposalRef (RFC 9420 §5.2): 32 bytes."""
        return ref_hash("MLS 1.0 Proposal Reference", self.encode())


def read_auth(content_type: int, reader: Reader) -> tuple[bytes, bytes]:
    """Read FramedContentAuthData: signature, and confirmation tag (empty unless a commit)."""
    return reader.vector(), reader.vector() if content_type == COMMIT else b""
