"""Leaf nodes with basic credentials: what a member is in the tree (RFC 9420 §5.3, §7.2, §7.3)."""

from dataclasses import dataclass
from typing import Self

from .cipher_suite import SUITE, VERSION, check_signature_key, sign_with_label, signature_public, verify_with_label
from .encoding import Reader, uint8, uint16, uint32, uint64, vector
from .errors import InvalidLeafNode, UnsupportedFeature
from .extensions import (
    BASIC,
    EXTERNAL_SENDERS,
    LAST_RESORT,
    Capabilities,
    Extensions,
    RequiredCapabilities,
    encode_extensions,
    read_extensions,
)
from .hpke import Random, draw

KEY_PACKAGE, UPDATE, COMMIT = 1, 2, 3
SOURCES = frozenset((KEY_PACKAGE, UPDATE, COMMIT))
CLAUSE = "RFC 9420 §7.3"


def read_credential(reader: Reader) -> bytes:
    """Read a basic Credential (RFC 9420 §5.3): its identity. Raises UnsupportedFeature on another type."""
    if reader.uint16() != BASIC:
        raise UnsupportedFeature("only basic credentials are supported", "RFC 9420 §5.3")
    return reader.vector()


def grease(random: Random) -> int:
    """Draw one of the values that exist to be ignored (RFC 9420 §13.5)."""
    nibble = draw(random, 1)[0] % 15
    return 0x0A0A + 0x1010 * nibble


# What this library supports. GREASE values are sent to others only: our own list must not contain them, or a group
# that requires such a value would look supported (RFC 9420 §13.5).
SUPPORTED = Capabilities((VERSION,), (SUITE,), (LAST_RESORT,), (), (BASIC,))


def sent_capabilities(random: Random) -> Capabilities:
    """Return the capabilities for a new leaf: SUPPORTED with one GREASE value in each list but the versions (§13.5)."""
    ignored = (grease(random),)
    own = SUPPORTED
    lists = own.cipher_suites, own.extensions, own.proposals, own.credentials
    return Capabilities(own.versions, *(values + ignored for values in lists))


@dataclass(frozen=True)
class LeafNode:
    """A leaf node. `unsigned` and `encoded` are its received bytes without and with the signature.

    encryption_key and signature_key are bytes, 32. lifetime is (not_before, not_after) in seconds since the epoch
    when the source is a key package. parent_hash is set when the source is a commit.
    """

    encryption_key: bytes
    signature_key: bytes
    identity: bytes
    capabilities: Capabilities
    source: int
    lifetime: tuple[int, int]
    parent_hash: bytes
    extensions: Extensions
    unsigned: bytes
    signature: bytes
    encoded: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a LeafNode."""
        start = reader.position
        encryption_key, signature_key, identity = reader.vector(), reader.vector(), read_credential(reader)
        capabilities, source = Capabilities.read(reader), reader.uint8()
        if source not in SOURCES:
            raise InvalidLeafNode("a leaf node's source is unknown", "RFC 9420 §7.2")
        lifetime = (reader.uint64(), reader.uint64()) if source == KEY_PACKAGE else (0, 0)
        parent_hash = reader.vector() if source == COMMIT else b""
        extensions, unsigned = read_extensions(reader), reader.since(start)
        about = source, lifetime, parent_hash, extensions, unsigned, reader.vector(), reader.since(start)
        return cls(encryption_key, signature_key, identity, capabilities, *about)

    def encode(self) -> bytes:
        """Encode as LeafNode."""
        return self.encoded

    def verify(self, group_id: bytes, leaf_index: int) -> None:
        """Check the signature (RFC 9420 §7.2), which binds group and place unless it comes from a key package."""
        tbs = self.unsigned + placement(self.source, group_id, leaf_index)
        verify_with_label(self.signature_key, "LeafNodeTBS", tbs, self.signature)

    def validate(self, source: int | None) -> None:
        """Check the rules that need no group and no other leaf (RFC 9420 §7.3). Raises MlsError.

        source: the required leaf_node_source, or None for any (a leaf of a whole tree). The signature is checked by
        `verify`, support of the group's extensions by `fit`, the lifetime by `LifetimeCheck`.
        """
        if source is not None and self.source != source:
            raise InvalidLeafNode("the leaf node has the wrong source", CLAUSE)
        check_signature_key(self.signature_key)
        offered = self.capabilities
        if VERSION not in offered.versions or SUITE not in offered.cipher_suites or BASIC not in offered.credentials:
            raise InvalidLeafNode("the capabilities lack the group's version, suite or credential", CLAUSE)
        if not offered.support_extensions(extension.kind for extension in self.extensions):
            raise InvalidLeafNode("the leaf node carries an extension that it does not list", CLAUSE)

    def fit(self, group_extensions: Extensions) -> None:
        """Check that the member supports the group's extensions and required capabilities (RFC 9420 §7.3, §13.4)."""
        if not self.capabilities.support_extensions(extension.kind for extension in group_extensions):
            raise InvalidLeafNode("a group context extension is not supported by a member", "RFC 9420 §13.4")
        if not self.capabilities.satisfy(RequiredCapabilities.of(group_extensions)):
            raise InvalidLeafNode("a required capability is missing", "RFC 9420 §11.1")


def check_own_support(group_extensions: Extensions) -> None:
    """Check that this library supports a GroupContext's extensions (RFC 9420 §13.4). Raises UnsupportedFeature.

    Every member can process the default types, but proposals of external senders are not implemented here. A group
    with external_senders would break at the first of them, so it is refused at once.
    """
    kinds = [extension.kind for extension in group_extensions]
    if EXTERNAL_SENDERS in kinds:
        raise UnsupportedFeature("groups with external senders are not supported", "RFC 9420 §12.1.8")
    if not SUPPORTED.support_extensions(kinds) or not SUPPORTED.satisfy(RequiredCapabilities.of(group_extensions)):
        raise UnsupportedFeature("the group requires a feature that is not supported", "RFC 9420 §13.4")


def placement(source: int, group_id: bytes, leaf_index: int) -> bytes:
    """Return what the signature covers beyond the leaf itself (RFC 9420 §7.2, LeafNodeTBS)."""
    return b"" if source == KEY_PACKAGE else vector(group_id) + uint32(leaf_index)


def _sign(unsigned: bytes, placed: bytes, seed: bytes) -> LeafNode:
    signature = sign_with_label(seed, "LeafNodeTBS", unsigned + placed)
    return LeafNode.read(Reader(unsigned + vector(signature)))


def first_leaf(
    identity: bytes, seed: bytes, encryption_key: bytes, lifetime: tuple[int, int], random: Random
) -> LeafNode:
    """Make and sign the leaf node of a key package (RFC 9420 §10)."""
    keys = vector(encryption_key) + vector(signature_public(seed))
    about = uint16(BASIC) + vector(identity) + sent_capabilities(random).encode()
    unsigned = keys + about + uint8(KEY_PACKAGE) + uint64(lifetime[0]) + uint64(lifetime[1]) + encode_extensions(())
    return _sign(unsigned, b"", seed)


def next_leaf(
    old: LeafNode, seed: bytes, encryption_key: bytes, place: tuple[bytes, int], parent_hash: bytes | None
) -> LeafNode:
    """Renew a member's leaf for an Update proposal, or for a commit when there is a parent hash (RFC 9420 §7.5).

    seed: the leaf's signature key, the old one or a new one. place: group id and leaf index, which the signature binds.
    """
    keys = vector(encryption_key) + vector(signature_public(seed))
    about = uint16(BASIC) + vector(old.identity) + old.capabilities.encode()
    source = UPDATE if parent_hash is None else COMMIT
    hashed = b"" if parent_hash is None else vector(parent_hash)
    unsigned = keys + about + uint8(source) + hashed + encode_extensions(old.extensions)
    return _sign(unsigned, placement(source, *place), seed)
