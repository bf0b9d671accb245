"""PublicMessage: signed, tagged by a member, readable by all (RFC 9420 §6.2)."""

from dataclasses import dataclass
from typing import Self

from .cipher_suite import check_mac, mac
from .encoding import Reader, vector
from .errors import MalformedMessage
from .framing import (
    APPLICATION,
    MEMBER,
    PUBLIC_MESSAGE,
    AuthenticatedContent,
    FramedContent,
    message_header,
    read_auth,
)


@dataclass(frozen=True)
class PublicMessage:
    """An authenticated content and, of a member, the membership tag (bytes, 32)."""

    authenticated: AuthenticatedContent
    membership_tag: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a PublicMessage."""
        content = FramedContent.read(reader)
        authenticated = AuthenticatedContent(PUBLIC_MESSAGE, content, *read_auth(content.content_type, reader))
        return cls(authenticated, reader.vector() if content.sender.kind == MEMBER else b"")

    @classmethod
    def protect(cls, authenticated: AuthenticatedContent, context: bytes, membership_key: bytes) -> Self:
        """Tag a member's content. `context` is the encoded GroupContext."""
        return cls(authenticated, mac(membership_key, _tbm(authenticated, context)))

    def encode(self) -> bytes:
        """Encode as PublicMessage."""
        tag = vector(self.membership_tag) if self.authenticated.content.sender.kind == MEMBER else b""
        return self.authenticated.content.encode() + self.authenticated.auth() + tag

    def message(self) -> bytes:
        """Encode as MLSMessage."""
        return message_header(PUBLIC_MESSAGE) + self.encode()

    def open(self, context: bytes, membership_key: bytes) -> AuthenticatedContent:
        """Check a member's tag. The caller checks the signature. Application data is never public (§6.2)."""
        if self.authenticated.content.content_type == APPLICATION:
            raise MalformedMessage("application data in a public message", "RFC 9420 §6.2")
        check_mac(membership_key, _tbm(self.authenticated, context), self.membership_tag, "RFC 9420 §6.2")
        return self.authenticated


def _tbm(authenticated: AuthenticatedContent, context: bytes) -> bytes:
    return authenticated.content.tbs(PUBLIC_MESSAGE, context) + authenticated.auth()
