"""Welcome, GroupInfo and GroupSecrets: how a newcomer gets in (RFC 9420 §12.4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from .cipher_suite import (
    SUITE,
    decrypt_with_label,
    encrypt_with_label,
    sign_with_label,
    verify_with_label,
)
from .encoding import Reader, decode, optional, uint16, uint32, vector, vector_of
from .errors import MalformedMessage, NotForUs, UnsupportedFeature
from .extensions import Extensions, encode_extensions, read_extensions
from .framing import WELCOME, message_header, read_message_header
from .hpke import Random
from .key_package import KeyPackage, KeyPackageSecrets
from .key_schedule import GroupContext
from .psk import PskId
from .update_path import Sealed, encode_sealed, read_sealed


@dataclass(frozen=True)
class GroupInfo:
    """The state of a group after a commit, signed by the member at leaf index `signer`."""

    context: GroupContext
    extensions: Extensions
    confirmation_tag: bytes
    signer: int
    signature: bytes = b""

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a GroupInfo."""
        context, extensions = GroupContext.read(reader), read_extensions(reader)
        return cls(context, extensions, reader.vector(), reader.uint32(), reader.vector())

    def _tbs(self) -> bytes:
        head = self.context.encode() + encode_extensions(self.extensions)
        return head + vector(self.confirmation_tag) + uint32(self.signer)

    def encode(self) -> bytes:
        """Encode as GroupInfo."""
        return self._tbs() + vector(self.signature)

    def sign(self, seed: bytes) -> bytes:
        """Encode it with a signature by `seed` (bytes, 32)."""
        return self._tbs() + vector(sign_with_label(seed, "GroupInfoTBS", self._tbs()))

    def verify(self, public: bytes) -> None:
        """Check the signature. Raises InvalidSignature when it does not verify."""
        verify_with_label(public, "GroupInfoTBS", self._tbs(), self.signature)


@dataclass(frozen=True)
class GroupSecrets:
    """What one newcomer gets: joiner secret (bytes, 32), path secret if there was a path, ids of pre-shared keys."""

    joiner_secret: bytes = field(repr=False)
    path_secret: bytes | None = field(repr=False)
    psks: tuple[PskId, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a GroupSecrets."""
        return cls(reader.vector(), reader.optional(Reader.vector), reader.vector_of(PskId.read))

    def encode(self) -> bytes:
        """Encode as GroupSecrets."""
        path_secret = None if self.path_secret is None else vector(self.path_secret)
        return vector(self.joiner_secret) + optional(path_secret) + vector_of(psk.encode() for psk in self.psks)


@dataclass(frozen=True)
class Welcome:
    """Sealed secrets by KeyPackageRef, and the encrypted GroupInfo for all of them."""

    secrets: tuple[tuple[bytes, Sealed], ...]
    group_info: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a Welcome. Raises UnsupportedFeature on another cipher suite."""
        if reader.uint16() != SUITE:
            raise UnsupportedFeature("the welcome is for another cipher suite", "RFC 9420 §12.4.3.1")
        secrets = reader.vector_of(lambda inner: (inner.vector(), read_sealed(inner)))
        return cls(secrets, reader.vector())

    @classmethod
    def seal(cls, group_info: bytes, newcomers: Sequence[tuple[KeyPackage, GroupSecrets]], random: Random) -> Self:
        """Seal each new member's secrets to its init key. `group_info` is already encrypted."""

        def sealed(package: KeyPackage, secrets: GroupSecrets) -> tuple[bytes, Sealed]:
            encrypted = encrypt_with_label(package.init_key, "Welcome", group_info, secrets.encode(), random)
            return package.reference, encrypted

        return cls(tuple(sealed(*newcomer) for newcomer in newcomers), group_info)

    def encode(self) -> bytes:
        """Encode as Welcome."""
        secrets = vector_of(vector(reference) + encode_sealed(sealed) for reference, sealed in self.secrets)
        return uint16(SUITE) + secrets + vector(self.group_info)

    def message(self) -> bytes:
        """Encode as MLSMessage."""
        return message_header(WELCOME) + self.encode()

    def open(self, own: KeyPackageSecrets) -> GroupSecrets:
        """Open the secrets for our key package. Raises NotForUs when there are none."""
        # By the hash of the whole key package: two packages of one client have different keys (§12.4.3.1).
        sealed = next((sealed for reference, sealed in self.secrets if reference == own.reference), None)
        if sealed is None:
            raise NotForUs("the welcome has no secret for this key package", "RFC 9420 §12.4.3.1")
        return decode(GroupSecrets.read, decrypt_with_label(own.init, "Welcome", self.group_info, sealed))


def parse_welcome(message: bytes) -> Welcome:
    """Parse an MLSMessage that is a Welcome."""
    reader = Reader(message)
    if read_message_header(reader) != WELCOME:
        raise MalformedMessage("the message is no welcome", "RFC 9420 §12.4.3.1")
    welcome = Welcome.read(reader)
    reader.finish()
    return welcome
