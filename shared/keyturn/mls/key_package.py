"""Key packages: how a client is offered to groups (RFC 9420 §10)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Self

from . import saved
from .cipher_suite import SUITE, VERSION, ref_hash, sign_with_label, signature_public, verify_with_label
from .encoding import Reader, decode, uint16, vector
from .errors import (
    ExpiredKeyPackage,
    InvalidArgument,
    InvalidKeyPackage,
    InvalidLeafNode,
    InvalidState,
    UnsupportedFeature,
)
from .extensions import LAST_RESORT, Extension, Extensions, encode_extensions, find, read_extensions
from .hpke import KeyPair, Random, check_public
from .leaf_node import KEY_PACKAGE, LeafNode, first_leaf

WIRE_FORMAT = 5
MESSAGE_HEADER = uint16(VERSION) + uint16(WIRE_FORMAT)
CLAUSE = "RFC 9420 §10.1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATE_MAGIC = b"MLS key package secrets"


def seconds(moment: datetime) -> int:
    """Whole seconds since the Unix epoch. Raises InvalidArgument for a naive datetime or one before the epoch."""
    if moment.tzinfo is None or moment < EPOCH:
        raise InvalidArgument("a moment must be aware and not before 1970", "RFC 9420 §7.2")
    return (moment - EPOCH) // timedelta(seconds=1)


def moment_of(value: int) -> datetime:
    """Return the aware UTC time of a uint64 of seconds. Values beyond `datetime.max` become `datetime.max`."""
    last = datetime.max.replace(tzinfo=UTC)
    return EPOCH + timedelta(seconds=value) if value <= (last - EPOCH).total_seconds() else last


@dataclass(frozen=True)
class LifetimePolicy:
    """The lifetimes of key packages that an application accepts (RFC 9420 §7.2).

    longest: maximum total lifetime, None for any. least_remaining: the time that must be left when we add a member.
    """

    longest: timedelta | None = timedelta(days=366)
    least_remaining: timedelta = timedelta(0)


DEFAULT_LIFETIMES = LifetimePolicy()


@dataclass(frozen=True)
class LifetimeCheck:
    """How to check the lifetime of a leaf (RFC 9420 §7.3). sent_at: the current time, for a leaf in a message of ours.

    A leaf in a received message is not held against the clock. It was valid when it was sent, and a receiver that is
    late, or whose clock is wrong, must not drop out of the group: one member with a short-lived key package could
    otherwise exclude every member that reads later. The maximum total lifetime needs no clock and is always checked.
    """

    policy: LifetimePolicy
    sent_at: datetime | None = None

    def __call__(self, lifetime: tuple[int, int]) -> None:
        """Check a lifetime (not_before, not_after) in seconds. Raises InvalidLeafNode or ExpiredKeyPackage."""
        not_before, not_after = lifetime
        longest = self.policy.longest
        if longest is not None and not_after - not_before > longest.total_seconds():
            raise InvalidLeafNode("the total lifetime is longer than the maximum", "RFC 9420 §7.2")
        if self.sent_at is None:
            return
        now = seconds(self.sent_at)
        if not not_before <= now <= not_after - self.policy.least_remaining.total_seconds():
            raise ExpiredKeyPackage("the key package is outside of its lifetime, or close to its end", "RFC 9420 §7.3")


@dataclass(frozen=True)
class KeyPackage:
    """A parsed KeyPackage: init_key (bytes, 32), leaf, extensions. `encoded` is the received encoding."""

    init_key: bytes
    leaf: LeafNode
    extensions: Extensions
    unsigned: bytes
    signature: bytes
    encoded: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a KeyPackage. Raises UnsupportedFeature on another version or cipher suite."""
        start = reader.position
        if (reader.uint16(), reader.uint16()) != (VERSION, SUITE):
            raise UnsupportedFeature("the key package has another version or cipher suite", CLAUSE)
        init_key, leaf, extensions = reader.vector(), LeafNode.read(reader), read_extensions(reader)
        unsigned, signature = reader.since(start), reader.vector()
        return cls(init_key, leaf, extensions, unsigned, signature, reader.since(start))

    def encode(self) -> bytes:
        """Encode as KeyPackage."""
        return self.encoded

    @property
    def reference(self) -> bytes:
        """KeyPackageRef (RFC 9420 §5.2): 32 bytes."""
        return ref_hash("MLS 1.0 KeyPackage Reference", self.encoded)

    def validate(self, check_lifetime: LifetimeCheck) -> None:
        """Check the key package by itself (RFC 9420 §10.1). Raises MlsError.

        Unknown extensions of the key package are ignored (§13.4).
        """
        self.leaf.validate(KEY_PACKAGE)
        _ = self._verified
        # A key to which nothing can be sealed would block every later commit.
        for key in (self.init_key, self.leaf.encryption_key):
            check_public(key)
        # The init key is deleted after joining, the leaf key lives on: they must not be the same (§10.1).
        if self.init_key == self.leaf.encryption_key:
            raise InvalidKeyPackage("init key and encryption key are the same", CLAUSE)
        if find(self.extensions, LAST_RESORT):
            raise InvalidKeyPackage("the last_resort extension is not empty", "draft-ietf-mls-extensions, last resort")
        check_lifetime(self.leaf.lifetime)

    @cached_property
    def _verified(self) -> bool:
        """Verify both signatures, once for a parsed key package: a commit over many adds checks each one twice."""
        self.leaf.verify(b"", 0)
        verify_with_label(self.leaf.signature_key, "KeyPackageTBS", self.unsigned, self.signature)
        return True


@dataclass(frozen=True)
class KeyPackageView:
    """Public facts of a validated key package. `data` is its bare encoding."""

    reference: bytes
    identity: bytes
    signature_key: bytes
    init_key: bytes
    encryption_key: bytes
    not_before: datetime
    not_after: datetime
    last_resort: bool
    data: bytes


def parse_key_package(data: bytes) -> KeyPackage:
    """Parse a key package, bare (RFC 9420 §10) or as an MLSMessage (§6)."""
    # A bare one continues with the cipher suite where a message says its wire format: 1 against 5.
    return decode(KeyPackage.read, data.removeprefix(MESSAGE_HEADER))


def read_key_package(
    data: bytes, *, now: datetime | None, lifetimes: LifetimePolicy = DEFAULT_LIFETIMES
) -> KeyPackageView:
    """Parse and validate a key package, bare or wrapped in an MLSMessage. Raises MlsError.

    now: the current time, to add its owner to a group. None for a key package that another member has added already:
    its lifetime is then not held against the clock (RFC 9420 §7.3).
    """
    package = parse_key_package(data)
    package.validate(LifetimeCheck(lifetimes, now))
    leaf, (not_before, not_after) = package.leaf, package.leaf.lifetime
    return KeyPackageView(
        reference=package.reference,
        identity=leaf.identity,
        signature_key=leaf.signature_key,
        init_key=package.init_key,
        encryption_key=leaf.encryption_key,
        not_before=moment_of(not_before),
        not_after=moment_of(not_after),
        last_resort=find(package.extensions, LAST_RESORT) is not None,
        data=package.encoded,
    )


@dataclass(frozen=True)
class KeyPackageSecrets:
    """A key package of our own with its private keys. key_package is the bare encoding, reference is bytes, 32."""

    key_package: bytes
    reference: bytes
    init: KeyPair = field(repr=False)
    encryption: KeyPair = field(repr=False)
    signature_seed: bytes = field(repr=False)

    def message(self) -> bytes:
        """Wrap the key package as an MLSMessage (RFC 9420 §6)."""
        return MESSAGE_HEADER + self.key_package

    def to_bytes(self) -> bytes:
        """Save it, private keys included: versioned and self-checking."""
        private = (self.init.private, self.encryption.private, self.signature_seed)
        return saved.pack(STATE_MAGIC, b"".join(vector(part) for part in (self.key_package, *private)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Load what `to_bytes` saved. Raises InvalidState or NewerStateVersion otherwise."""
        with saved.checked():
            return cls.assemble(*_read_saved(data))

    @classmethod
    def assemble(cls, key_package: bytes, init: bytes, encryption: bytes, seed: bytes) -> Self:
        """Put a key package (bare or wrapped) and its private keys (bytes, 32 each) together.

        InvalidArgument when the private keys are not those of the key package.
        """
        package = parse_key_package(key_package)
        pairs = KeyPair.of(init), KeyPair.of(encryption)
        ours = (pairs[0].public, pairs[1].public, signature_public(seed))
        if ours != (package.init_key, package.leaf.encryption_key, package.leaf.signature_key):
            raise InvalidArgument("the private keys are not those of the key package", "RFC 9420 §10")
        return cls(package.encoded, package.reference, *pairs, seed)


def _read_saved(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    main, nothing = saved.unpack(STATE_MAGIC, data)
    if nothing != saved.NOTHING:
        raise InvalidState("the saved key package has a part too many", saved.CLAUSE)
    return decode(lambda reader: (reader.vector(), reader.vector(), reader.vector(), reader.vector()), main)


def create_key_package(
    identity: bytes,
    signature_seed: bytes,
    *,
    not_before: datetime,
    not_after: datetime,
    random: Random,
    last_resort: bool = False,
) -> KeyPackageSecrets:
    """Make a key package with fresh keys (RFC 9420 §10).

    signature_seed: Ed25519 private key (bytes, 32). last_resort marks one that may be used when no other is left.
    """
    init, encryption = KeyPair.generate(random), KeyPair.generate(random)
    lifetime = seconds(not_before), seconds(not_after)
    leaf = first_leaf(identity, signature_seed, encryption.public, lifetime, random)
    extensions = (Extension(LAST_RESORT, b""),) if last_resort else ()
    header = uint16(VERSION) + uint16(SUITE) + vector(init.public)
    unsigned = header + leaf.encoded + encode_extensions(extensions)
    encoded = unsigned + vector(sign_with_label(signature_seed, "KeyPackageTBS", unsigned))
    package = decode(KeyPackage.read, encoded)
    return KeyPackageSecrets(encoded, package.reference, init, encryption, signature_seed)
