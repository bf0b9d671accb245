"""Past epochs: kept for receiving late application messages, three of them, ten minutes at most."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from .encoding import Reader, optional, uint32, uint64, vector, vector_of
from .events import Member
from .key_schedule import GroupContext
from .secret_tree import SecretTree

MOST_KEPT = 3
MOST_SECONDS = 600


@dataclass(frozen=True)
class PastEpoch:
    """What receiving needs of an epoch that ended at `ended` (seconds since the Unix epoch).

    Nothing can be sent from it: our own ratchets are not in its secret tree, and its init secret is gone.
    """

    context: GroupContext
    ended: int
    sender_data: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)
    secret_tree: SecretTree
    members: Mapping[int, Member]

    @classmethod
    def read(cls, reader: Reader, current: Mapping[int, Member]) -> Self:
        """Read a saved past epoch. Its members are saved as differences to the current members."""
        context, ended = GroupContext.read(reader), reader.uint64()
        secrets = reader.vector(), reader.vector(), SecretTree.read(reader)
        changes = dict(reader.vector_of(lambda inner: (inner.uint32(), inner.optional(Member.read))))
        members = {index: member for index, member in {**current, **changes}.items() if member is not None}
        return cls(context, ended, *secrets, members)

    def encode(self, current: Mapping[int, Member]) -> bytes:
        """Encode to be saved, members as differences to the current ones."""
        changed = [at for at in sorted({*current, *self.members}) if current.get(at) != self.members.get(at)]
        changes = vector_of(uint32(at) + optional(_encode_member(self.members.get(at))) for at in changed)
        secrets = vector(self.sender_data) + vector(self.resumption_psk) + self.secret_tree.encode()
        return self.context.encode() + uint64(self.ended) + secrets + changes


def _encode_member(member: Member | None) -> bytes | None:
    return None if member is None else member.encode()


def keep(past: tuple[PastEpoch, ...], now: int) -> tuple[PastEpoch, ...]:
    """Drop epochs that are too old at `now` (seconds since the Unix epoch) or too many. The latest is last."""
    return tuple(epoch for epoch in past if now - epoch.ended <= MOST_SECONDS)[-MOST_KEPT:]
