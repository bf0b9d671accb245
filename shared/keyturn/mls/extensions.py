"""Extensions and capabilities (RFC 9420 §7.2, §11.1, §13)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from .encoding import Reader, decode, uint16, uint16s, vector, vector_of
from .errors import MalformedMessage

RATCHET_TREE = 0x0002
REQUIRED_CAPABILITIES = 0x0003
EXTERNAL_SENDERS = 0x0005
LAST_RESORT = 0x000A
DEFAULT_EXTENSIONS = frozenset(range(0x0001, 0x0006))
DEFAULT_PROPOSALS = frozenset(range(0x0001, 0x0008))
BASIC = 0x0001


@dataclass(frozen=True)
class Extension:
    """One extension: its type (uint16) and its uninterpreted data."""

    kind: int
    data: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an Extension."""
        return cls(reader.uint16(), reader.vector())

    def encode(self) -> bytes:
        """Encode as Extension."""
        return uint16(self.kind) + vector(self.data)


Extensions = tuple[Extension, ...]


def read_extensions(reader: Reader) -> Extensions:
    """Read `Extension extensions<V>`. A type that appears twice is malformed (RFC 9420 §13.4)."""
    extensions = reader.vector_of(Extension.read)
    # A second value could be read by one member and the first by another (§13.4).
    if len({extension.kind for extension in extensions}) != len(extensions):
        raise MalformedMessage("an extension appears twice", "RFC 9420 §13.4")
    return extensions


def encode_extensions(extensions: Extensions) -> bytes:
    """Encode `Extension extensions<V>`."""
    return vector_of(extension.encode() for extension in extensions)


def find(extensions: Extensions, kind: int) -> bytes | None:
    """Return the data of the extension of that type, if it is there."""
    return next((extension.data for extension in extensions if extension.kind == kind), None)


@dataclass(frozen=True)
class Capabilities:
    """What a client supports (RFC 9420 §7.2): five lists of uint16. Unknown values are ignored."""

    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    extensions: tuple[int, ...]
    proposals: tuple[int, ...]
    credentials: tuple[int, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read Capabilities."""
        return cls(*(reader.uint16s() for _ in range(5)))

    def encode(self) -> bytes:
        """Encode as Capabilities."""
        lists = (self.versions, self.cipher_suites, self.extensions, self.proposals, self.credentials)
        return b"".join(uint16s(values) for values in lists)

    def support_extensions(self, kinds: Iterable[int]) -> bool:
        """Whether all extension types are default or listed."""
        return DEFAULT_EXTENSIONS.union(self.extensions).issuperset(kinds)

    def satisfy(self, required: "RequiredCapabilities") -> bool:
        """Whether everything that the group requires is default or listed (RFC 9420 §7.3)."""
        return (
            self.support_extensions(required.extensions)
            and DEFAULT_PROPOSALS.union(self.proposals).issuperset(required.proposals)
            and set(self.credentials).issuperset(required.credentials)
        )


@dataclass(frozen=True)
class RequiredCapabilities:
    """The required_capabilities extension of a GroupContext (RFC 9420 §11.1): three lists of uint16."""

    extensions: tuple[int, ...] = ()
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = ()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read RequiredCapabilities."""
        return cls(*(reader.uint16s() for _ in range(3)))

    @classmethod
    def of(cls, extensions: Extensions) -> Self:
        """Read it from a GroupContext's extensions. Without the extension, nothing is required."""
        data = find(extensions, REQUIRED_CAPABILITIES)
        return cls() if data is None else decode(cls.read, data)
