"""The public interface: a group is an immutable value, and every operation returns a new one (RFC 9420).

Values in, new group and events out. An operation that fails raises an MlsError and changes nothing; one that succeeds
has taken effect only if the caller keeps the group that it returned. `now` is an aware UTC datetime.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from . import joining
from .commit_creation import Draft, choose, create_commit
from .errors import InvalidProposal
from .events import Event, Member
from .extensions import encode_extensions
from .hpke import KeyPair, Random
from .key_package import KeyPackageSecrets, parse_key_package, seconds
from .leaf_node import next_leaf
from .past_epoch import keep
from .proposal_list import Pending, validate
from .proposals import Add, Proposal, Remove, Update
from .protection import protect, sign
from .receiving import receive
from .state import State, load


@dataclass(frozen=True, eq=False)
class Group:
    """A member's view of a group in one epoch."""

    state: State = field(repr=False)

    @classmethod
    def create(cls, group_id: bytes, own: KeyPackageSecrets, *, random: Random, now: datetime) -> Self:
        """Create a group with ourselves as its only member, in epoch 0 (RFC 9420 §11)."""
        return cls(joining.create_group(group_id, own, random, now))

    @classmethod
    def join(
        cls,
        welcome: bytes,
        own: KeyPackageSecrets,
        *,
        now: datetime,
        ratchet_tree: bytes | None = None,
        psks: Mapping[bytes, bytes] | None = None,
    ) -> Self:
        """Join by a Welcome (MLSMessage) for our key package, which is then used up (RFC 9420 §12.4.3.1).

        ratchet_tree: when it is sent separately, encoded as the extension is. psks: external pre-shared keys by id.
        """
        seconds(now)
        return cls(joining.join_group(welcome, own, ratchet_tree, psks or {}))

    def to_bytes(self) -> bytes:
        """Save the group, secrets included: versioned and self-checking. Sealing it is the caller's part."""
        return self.state.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Load a saved group. Raises InvalidState for a damaged state, NewerStateVersion for a newer format."""
        return cls(load(data))

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self.state.context.group_id

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self.state.context.epoch

    @property
    def tree_hash(self) -> bytes:
        """Tree hash of the current epoch: bytes, 32."""
        return self.state.context.tree_hash

    @property
    def members(self) -> tuple[Member, ...]:
        """Members by leaf index. For an inactive group, the members of our last epoch."""
        return tuple(self.state.members.values())

    @property
    def extensions(self) -> bytes:
        """The group context's extensions, encoded (RFC 9420 §12.1.7): to compare before and after a commit."""
        return encode_extensions(self.state.context.extensions)

    @property
    def own_leaf_index(self) -> int:
        """Our own leaf index."""
        return self.state.own_index

    @property
    def is_active(self) -> bool:
        """Whether we are still a member."""
        return self.state.active

    @property
    def epoch_authenticator(self) -> bytes:
        """Epoch authenticator (RFC 9420 §8.7): bytes, 32, equal for all members of the epoch."""
        self.state.require_active()
        return self.state.secrets.epoch_authenticator

    @property
    def pending(self) -> tuple[bytes, ...]:
        """References (bytes, 32 each) of the proposals that wait for a commit."""
        return tuple(entry.reference for entry in self.state.pending)

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """Export a secret (RFC 9420 §8.5): `length` bytes, equal for all members of the epoch."""
        self.state.require_active()
        return self.state.secrets.export(label, context, length)

    def expire(self, now: datetime) -> Self:
        """Delete past epochs that ended more than 10 minutes before `now`."""
        return type(self)(replace(self.state, past=keep(self.state.past, seconds(now))))

    def encrypt(
        self, plaintext: bytes, *, random: Random, authenticated_data: bytes = b"", padding: int = 0
    ) -> tuple[Self, bytes]:
        """Encrypt an application message (RFC 9420 §6.3). Returns the group without the used key, and the MLSMessage.

        padding: number of zero bytes that hide the length (§6.3.1).
        """
        self.state.require_active()
        signed = sign(self.state, plaintext, authenticated_data, public=False)
        after, message = protect(self.state, signed, random, padding)
        return type(self)(after), message

    def receive(
        self, message: bytes, *, now: datetime, psks: Mapping[bytes, bytes] | None = None
    ) -> tuple[Self, Event]:
        """Process a message from another member (MLSMessage, public or private). Returns the new group and the event.

        psks: external pre-shared keys by id, if commits may ask for them.
        """
        self.state.require_active()
        after, event = receive(self.expire(now).state, message, psks or {}, now)
        return type(self)(after), event

    def commit(
        self,
        *,
        random: Random,
        now: datetime,
        add: Sequence[bytes] = (),
        remove: Sequence[int] = (),
        include_pending: bool = True,
        public: bool = False,
        authenticated_data: bytes = b"",
        padding: int = 0,
        psks: Mapping[bytes, bytes] | None = None,
    ) -> "Commit":
        """Commit, always with a path of fresh keys (RFC 9420 §12.4.1).

        add: key packages, bare or wrapped. remove: leaf indices. include_pending: include the waiting proposals,
        as far as they are valid together. public: send it as PublicMessage. This group does not change: adopt
        the returned one once the message is published.
        """
        self.state.require_active()
        adds = (Add(parse_key_package(package)) for package in add)
        inline: tuple[Proposal, ...] = (*adds, *(Remove(index) for index in remove))
        chosen = choose(self.state, inline, psks or {}, now) if include_pending else []
        draft = Draft(chosen, inline, authenticated_data, public, padding)
        creation = create_commit(self.state, draft, psks or {}, random=random, now=now)
        return Commit(type(self)(creation.state), creation.message, creation.welcome)

    def propose_add(
        self, key_package: bytes, *, random: Random, now: datetime, public: bool = False
    ) -> tuple[Self, bytes]:
        """Propose a new member (RFC 9420 §12.1.1): the group with it pending, and the MLSMessage."""
        return self._propose(Add(parse_key_package(key_package)), None, random=random, now=now, public=public)

    def propose_update(self, *, random: Random, now: datetime, public: bool = False) -> tuple[Self, bytes]:
        """Propose a fresh key for our own leaf (RFC 9420 §12.1.2). Another member has to commit it."""
        self.state.require_active()
        pair, place = KeyPair.generate(random), (self.group_id, self.own_leaf_index)
        leaf = next_leaf(self.state.own_leaf, self.state.seed, pair.public, place, None)
        return self._propose(Update(leaf), pair, random=random, now=now, public=public)

    def propose_remove(
        self, leaf_index: int, *, random: Random, now: datetime, public: bool = False
    ) -> tuple[Self, bytes]:
        """Propose to remove a member (RFC 9420 §12.1.3). Another member has to commit our own removal."""
        return self._propose(Remove(leaf_index), None, random=random, now=now, public=public)

    def _propose(
        self, proposal: Proposal, pair: KeyPair | None, *, random: Random, now: datetime, public: bool
    ) -> tuple[Self, bytes]:
        current = self.expire(now).state
        current.require_active()
        validate(current.tree, current.context, Pending(b"", current.own_index, proposal), now)
        signed = sign(current, proposal, b"", public=public)
        entry = Pending(signed.reference(), current.own_index, proposal, pair)
        if entry.reference in self.pending:
            # Two equal public proposals are one message: signatures are deterministic.
            raise InvalidProposal("the same proposal is pending already", "RFC 9420 §12.1")
        after, message = protect(current, signed, random, 0)
        return type(self)(replace(after, pending=(*after.pending, entry))), message


@dataclass(frozen=True)
class Commit:
    """Our commit: the group after it, the MLSMessage for the members, the Welcome for the added members."""

    group: Group
    message: bytes
    welcome: bytes | None
