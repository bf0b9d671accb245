"""The state of a member in a group: everything that is kept, and its form as bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from . import saved
from .cipher_suite import HASH_BYTES, SEED_BYTES, signature_public
from .encoding import Reader, decode, optional, uint8, uint32, vector, vector_of
from .errors import InvalidState, NotActive
from .events import Member, members_of
from .hpke import KeyPair
from .key_schedule import EpochSecrets, GroupContext
from .leaf_node import LeafNode
from .past_epoch import EpochRoster, PastEpoch
from .proposal_list import Pending
from .proposals import encode_proposal, read_proposal
from .psk import PskSource
from .ratchet_tree import RatchetTree
from .secret_tree import SecretTree

MAGIC = b"MLS group state"
NO_SECRETS = EpochSecrets(*([bytes(HASH_BYTES)] * 9)).without_encryption()


@dataclass(frozen=True)
class State:
    """A member's state in one epoch.

    key_pairs: our HPKE keys by node index, own leaf included. pending: proposals of this epoch. past: earlier epochs,
    latest last. `tree` is shared between states and never changed.
    """

    context: GroupContext
    tree: RatchetTree = field(repr=False)
    own_index: int
    seed: bytes = field(repr=False)
    key_pairs: Mapping[int, KeyPair] = field(repr=False)
    secrets: EpochSecrets
    interim_hash: bytes
    secret_tree: SecretTree
    pending: tuple[Pending, ...] = ()
    past: tuple[PastEpoch, ...] = ()
    active: bool = True

    @cached_property
    def members(self) -> Mapping[int, Member]:
        """Members by leaf index."""
        return {member.leaf_index: member for member in members_of(self.tree)}

    @property
    def own_leaf(self) -> LeafNode:
        """Our own leaf. Raises InvalidState when there is none."""
        leaf = self.tree.leaf(self.own_index)
        if leaf is None:
            raise InvalidState("the state's own leaf is blank", saved.CLAUSE)
        return leaf

    def require_active(self) -> None:
        """Raise NotActive once this member is removed."""
        if not self.active:
            raise NotActive("this member was removed from the group", "RFC 9420 §12.4.2")

    def psks(self, external: Mapping[bytes, bytes]) -> PskSource:
        """Pre-shared keys that this member has: those given, and the resumption keys of the epochs that are kept."""
        group_id = self.context.group_id
        resumption = {(group_id, epoch.context.epoch): epoch.resumption_psk for epoch in self.past}
        resumption[group_id, self.context.epoch] = self.secrets.resumption_psk
        return PskSource(external, resumption)

    def retire(self, ended: int) -> PastEpoch:
        """Turn this epoch into a past one that ended at `ended` (seconds since the Unix epoch)."""
        # Our own ratchets go: nothing is sent in a past epoch, and a copy must not open what was sent (§9.2).
        tree = self.secret_tree.without(self.own_index)
        return PastEpoch(
            self.context, ended, self.secrets.sender_data, self.secrets.resumption_psk, tree, EpochRoster(self.members)
        )

    def removed(self) -> "State":
        """Delete every key after our removal (RFC 9420 §12.4.2). Public state stays readable."""
        # Nothing that a removed member keeps may open what the others send from now on.
        empty = SecretTree(self.tree.leaf_count, {}, {})
        forgotten = replace(self, seed=b"", key_pairs={}, secrets=NO_SECRETS, secret_tree=empty)
        return replace(forgotten, pending=(), past=(), active=False)

    def to_bytes(self) -> bytes:
        """Save the state, secrets included: versioned and self-checking."""
        pairs = vector_of(uint32(node) + pair.private for node, pair in sorted(self.key_pairs.items()))
        keys = vector(self.seed) + pairs + self.secrets.encode() + vector(self.interim_hash)
        pending = vector_of(map(_encode_pending, self.pending))
        past = vector_of(epoch.encode(self.tree) for epoch in self.past)
        head = self.context.encode() + uint32(self.own_index) + uint8(self.active)
        return saved.pack(MAGIC, head + keys + self.secret_tree.encode() + pending + past, self.tree.save())


def load(data: bytes) -> State:
    """Load a saved state. Raises InvalidState.

    The tree is read when it is first used. Then its hash is checked against the group context, and our keys against it.
    """
    with saved.checked():
        main, tree_part = saved.unpack(MAGIC, data)
        return decode(lambda reader: _read_state(reader, tree_part), main)


def _read_state(reader: Reader, tree_part: saved.SeparatePart) -> State:
    context, own_index, active = GroupContext.read(reader), reader.uint32(), reader.uint8() == 1
    seed, key_pairs = reader.vector(), dict(reader.vector_of(_read_pair))
    secrets, interim = EpochSecrets.read(reader), reader.vector()

    def check(tree: RatchetTree) -> None:
        if tree.root_hash != context.tree_hash:
            raise InvalidState("the saved tree does not hash to the tree hash", "RFC 9420 §8.1")
        own_leaf = tree.leaf(own_index)
        if active and (own_leaf is None or signature_public(seed) != own_leaf.signature_key):
            raise InvalidState("the saved signature key is not that of the own leaf", "RFC 9420 §7.2")
        for node, pair in key_pairs.items():
            content = tree.nodes[node] if node < len(tree.nodes) else None
            if content is None or content.encryption_key != pair.public:
                raise InvalidState("a saved private key is not that of its node", "RFC 9420 §7.1")

    tree = RatchetTree.load(tree_part, check)
    secret_tree, pending = SecretTree.read(reader), reader.vector_of(_read_pending)
    past = reader.vector_of(lambda inner: PastEpoch.read(inner, tree))
    return State(context, tree, own_index, seed, key_pairs, secrets, interim, secret_tree, pending, past, active)


def _read_pair(reader: Reader) -> tuple[int, KeyPair]:
    return reader.uint32(), KeyPair.of(reader.fixed(HASH_BYTES))


def _encode_pending(entry: Pending) -> bytes:
    private = None if entry.own_pair is None else entry.own_pair.private
    seed = optional(entry.own_seed)
    return vector(entry.reference) + uint32(entry.sender) + encode_proposal(entry.proposal) + optional(private) + seed


def _read_pending(reader: Reader) -> Pending:
    head = reader.vector(), reader.uint32(), read_proposal(reader)
    pair = reader.optional(lambda inner: KeyPair.of(inner.fixed(HASH_BYTES)))
    return Pending(*head, pair, reader.optional(lambda inner: inner.fixed(SEED_BYTES)))
