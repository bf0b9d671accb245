"""Past epochs: kept for receiving late application messages, three of them, ten minutes at most."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from .encoding import Reader, decode, optional, uint32, uint64, vector, vector_of
from .events import Member, members_of
from .key_schedule import GroupContext
from .ratchet_tree import RatchetTree
from .saved import checked
from .secret_tree import SecretTree

MOST_KEPT = 3
MOST_SECONDS = 600
MOST_SET_BACK_SECONDS = 60


class EpochRoster:
    """The members of a past epoch by leaf index.

    A saved one is stored as differences to the members of the current tree, and read when it is first needed.
    """

    def __init__(
        self, members: Mapping[int, Member] | None, differences: bytes = b"", tree: RatchetTree | None = None
    ) -> None:
        self._members = members
        self._saved = differences, tree

    @property
    def members(self) -> Mapping[int, Member]:
        """The members. Raises InvalidState when the saved ones cannot be read."""
        if self._members is None:
            differences, tree = self._saved
            current = {} if tree is None else {member.leaf_index: member for member in members_of(tree)}
            with checked():
                changed = dict(decode(lambda reader: reader.vector_of(_read_difference), differences))
            merged = {**current, **changed}
            self._members = {index: member for index, member in merged.items() if member is not None}
        return self._members

    def differences(self, tree: RatchetTree) -> bytes:
        """Encode the differences to the members of `tree`: leaf index, and the member if there was one."""
        differences, saved_beside = self._saved
        if saved_beside is tree:
            return differences
        current = {member.leaf_index: member for member in members_of(tree)}
        changed = [at for at in sorted({*current, *self.members}) if current.get(at) != self.members.get(at)]
        return vector_of(uint32(at) + optional(_encode_member(self.members.get(at))) for at in changed)


def _read_difference(reader: Reader) -> tuple[int, Member | None]:
    return reader.uint32(), reader.optional(Member.read)


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
    roster: EpochRoster

    @property
    def members(self) -> Mapping[int, Member]:
        """Members by leaf index."""
        return self.roster.members

    @classmethod
    def read(cls, reader: Reader, tree: RatchetTree) -> Self:
        """Read a past epoch that was saved beside `tree`, the current one."""
        context, ended = GroupContext.read(reader), reader.uint64()
        secrets = reader.vector(), reader.vector(), SecretTree.read(reader)
        return cls(context, ended, *secrets, EpochRoster(None, reader.vector(), tree))

    def encode(self, tree: RatchetTree) -> bytes:
        """Encode for saving beside `tree`, the current one."""
        secrets = vector(self.sender_data) + vector(self.resumption_psk) + self.secret_tree.encode()
        return self.context.encode() + uint64(self.ended) + secrets + vector(self.roster.differences(tree))


def _encode_member(member: Member | None) -> bytes | None:
    return None if member is None else member.encode()


def keep(past: tuple[PastEpoch, ...], now: int) -> tuple[PastEpoch, ...]:
    """Drop epochs that are too old at `now` (seconds since the Unix epoch) or too many. The latest is last.

    An epoch that ended in the future is dropped as well: after a clock was set back, its age is unknown, and its keys
    would otherwise stay until the clock has caught up. One minute is allowed, for clocks of several processes.
    """
    return tuple(epoch for epoch in past if -MOST_SET_BACK_SECONDS <= now - epoch.ended <= MOST_SECONDS)[-MOST_KEPT:]
