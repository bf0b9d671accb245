"""The public interface: a group is an immutable value, and every operation returns a new one (RFC 9420).

Values in, new group and events out. An operation that fails raises an MlsError and changes nothing; one that succeeds
has taken effect only if the caller keeps the group that it returned. `now` is an aware UTC datetime.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from . import joining
from .cipher_suite import signing_key
from .commit_creation import Draft, create_commit, group_info_of
from .errors import CommitRequired, InvalidProposal
from .events import Event, Member
from .extensions import Extension, encode_extensions
from .framing import GROUP_INFO, message_header
from .hpke import KeyPair, Random
from .key_package import (
    DEFAULT_LIFETIMES,
    KeyPackageSecrets,
    LifetimeCheck,
    LifetimePolicy,
    parse_key_package,
    seconds,
)
from .leaf_node import next_leaf
from .past_epoch import keep
from .proposal_choice import choose
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
    def create(
        cls,
        group_id: bytes,
        own: KeyPackageSecrets,
        *,
        random: Random,
        now: datetime,
        extensions: Mapping[int, bytes] | None = None,
        lifetimes: LifetimePolicy = DEFAULT_LIFETIMES,
    ) -> Self:
        """Create a group with ourselves as its only member, in epoch 0 (RFC 9420 §11).

        extensions: of the group context, data by extension type. Every later member has to support them.
        """
        own_extensions = tuple(Extension(kind, data) for kind, data in (extensions or {}).items())
        return cls(joining.create_group(group_id, own, own_extensions, LifetimeCheck(lifetimes, now), random))

    @classmethod
    def join(
        cls,
        welcome: bytes,
        own: KeyPackageSecrets,
        *,
        now: datetime,
        ratchet_tree: bytes | None = None,
        psks: Mapping[bytes, bytes] | None = None,
        lifetimes: LifetimePolicy = DEFAULT_LIFETIMES,
    ) -> Self:
        """Join by a Welcome (MLSMessage) for our key package, which is then used up (RFC 9420 §12.4.3.1).

        ratchet_tree: when it is sent separately, encoded as the extension is. psks: external pre-shared keys by id.
        """
        seconds(now)
        return cls(joining.join_group(welcome, own, ratchet_tree, psks or {}, lifetimes))

    def to_bytes(self) -> bytes:
        """Save the group, secrets included: versioned and self-checking. Sealing it is the caller's part."""
        return self.state.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, now: datetime | None = None) -> Self:
        """Load a saved group. Raises InvalidState for a damaged state, NewerStateVersion for a newer format.

        The tree is read and checked when it is first needed, so a later operation may raise InvalidState, too.
        now: if given, past epochs that have expired meanwhile are deleted, as `expire` does.
        """
        loaded = cls(load(data))
        return loaded if now is None else loaded.expire(now)

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

    def leaf_bytes(self, leaf_index: int) -> int:
        """Return the size of a member's leaf node, or 0 for a blank one. Each member chooses what its leaf lists."""
        leaf = self.state.tree.leaf(leaf_index)
        return 0 if leaf is None else len(leaf.encode())

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

    @property
    def ratchet_tree(self) -> bytes:
        """The public tree, encoded as the ratchet_tree extension (RFC 9420 §12.4.3.3)."""
        return self.state.tree.encode()

    def group_info(self) -> bytes:
        """Return a signed GroupInfo of this epoch as an MLSMessage, with the ratchet tree (RFC 9420 §12.4.3)."""
        self.state.require_active()
        return message_header(GROUP_INFO) + group_info_of(self.state)

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

        padding: number of zero bytes that hide the length (§6.3.1). Raises CommitRequired while a proposal is pending:
        a member whose removal is proposed must be gone before anything is sent (§12.4).
        """
        self.state.require_active()
        if self.state.pending:
            raise CommitRequired("a proposal is pending: commit before sending", "RFC 9420 §12.4")
        signed = sign(self.state, plaintext, authenticated_data, public=False)
        after, message = protect(self.state, signed, random, padding)
        return type(self)(after), message

    def receive(
        self,
        message: bytes,
        *,
        now: datetime,
        psks: Mapping[bytes, bytes] | None = None,
        lifetimes: LifetimePolicy = DEFAULT_LIFETIMES,
    ) -> tuple[Self, Event]:
        """Process a message from another member (MLSMessage, public or private). Returns the new group and the event.

        psks: external pre-shared keys by id, if commits may ask for them.
        """
        self.state.require_active()
        after, event = receive(self.expire(now).state, message, psks or {}, lifetimes, now)
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
        path: bool = True,
        new_signature_seed: bytes | None = None,
        lifetimes: LifetimePolicy = DEFAULT_LIFETIMES,
    ) -> "Commit":
        """Commit (RFC 9420 §12.4.1).

        add: key packages, bare or wrapped. remove: leaf indices. include_pending: include the waiting proposals,
        as far as they are valid together. public: send it as PublicMessage. This group does not change: adopt
        the returned one once the message is published. path: renew our own path. Without it, a commit that only adds
        is smaller, but gives no forward secrecy (§12.4). new_signature_seed: change our signature key (bytes, 32). That
        needs a path.
        """
        self.state.require_active()
        if new_signature_seed is not None:
            signing_key(new_signature_seed)
        adds = (Add(parse_key_package(package)) for package in add)
        inline: tuple[Proposal, ...] = (*adds, *(Remove(index) for index in remove))
        check_lifetime = LifetimeCheck(lifetimes, now)
        chosen = choose(self.state, inline, psks or {}, check_lifetime) if include_pending else []
        draft = Draft(chosen, inline, authenticated_data, public, padding, path, new_signature_seed)
        creation = create_commit(self.state, draft, psks or {}, lifetimes=lifetimes, random=random, now=now)
        return Commit(type(self)(creation.state), creation.message, creation.welcome)

    def propose_add(
        self,
        key_package: bytes,
        *,
        random: Random,
        now: datetime,
        public: bool = False,
        lifetimes: LifetimePolicy = DEFAULT_LIFETIMES,
    ) -> tuple[Self, bytes]:
        """Propose a new member (RFC 9420 §12.1.1): the group with it pending, and the MLSMessage."""
        entry = Pending(b"", self.own_leaf_index, Add(parse_key_package(key_package)))
        return self._propose(entry, LifetimeCheck(lifetimes, now), random=random, public=public)

    def propose_update(
        self, *, random: Random, now: datetime, public: bool = False, new_signature_seed: bytes | None = None
    ) -> tuple[Self, bytes]:
        """Propose a fresh key for our own leaf (RFC 9420 §12.1.2). Another member has to commit it.

        new_signature_seed: change our signature key (bytes, 32), too.
        """
        self.state.require_active()
        pair, place = KeyPair.generate(random), (self.group_id, self.own_leaf_index)
        leaf = next_leaf(self.state.own_leaf, new_signature_seed or self.state.seed, pair.public, place, None)
        entry = Pending(b"", self.own_leaf_index, Update(leaf), pair, new_signature_seed)
        return self._propose(entry, LifetimeCheck(DEFAULT_LIFETIMES, now), random=random, public=public)

    def propose_remove(
        self, leaf_index: int, *, random: Random, now: datetime, public: bool = False
    ) -> tuple[Self, bytes]:
        """Propose to remove a member (RFC 9420 §12.1.3). Another member has to commit our own removal."""
        entry = Pending(b"", self.own_leaf_index, Remove(leaf_index))
        return self._propose(entry, LifetimeCheck(DEFAULT_LIFETIMES, now), random=random, public=public)

    def _propose(
        self, entry: Pending, check_lifetime: LifetimeCheck, *, random: Random, public: bool
    ) -> tuple[Self, bytes]:
        current = self.state if check_lifetime.sent_at is None else self.expire(check_lifetime.sent_at).state
        current.require_active()
        validate(current.tree, current.context, entry, check_lifetime)
        signed = sign(current, entry.proposal, b"", public=public)
        entry = replace(entry, reference=signed.reference())
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
