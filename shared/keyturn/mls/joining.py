"""Becoming a member: by creating a group (RFC 9420 §11) or by a Welcome (RFC 9420 §12.4.3.1)."""

from collections.abc import Mapping

from . import tree_math
from .cipher_suite import HASH_BYTES, check_mac
from .encoding import decode
from .errors import InvalidWelcome
from .extensions import RATCHET_TREE, Extensions, find
from .hpke import KeyPair, Random, draw
from .key_package import KeyPackageSecrets, LifetimeCheck, LifetimePolicy, parse_key_package
from .key_schedule import EpochSecrets, GroupContext, Joiner, interim_hash
from .leaf_node import check_own_support
from .psk import PskSource
from .ratchet_tree import RatchetTree
from .secret_tree import SecretTree
from .state import State
from .tree_validation import validate_tree
from .update_path import PathSecrets, check_keys
from .welcome import GroupInfo, GroupSecrets, parse_welcome

CLAUSE = "RFC 9420 §12.4.3.1"


def create_group(
    group_id: bytes, own: KeyPackageSecrets, extensions: Extensions, check_lifetime: LifetimeCheck, random: Random
) -> State:
    """Create a group of one in epoch 0 (RFC 9420 §11), with these GroupContext extensions."""
    package = parse_key_package(own.key_package)
    package.validate(check_lifetime)
    package.leaf.fit(extensions)
    check_own_support(extensions)
    tree = RatchetTree([package.leaf])
    context = GroupContext(group_id, 0, tree.root_hash, b"", extensions)
    secrets = EpochSecrets.derive(draw(random, HASH_BYTES))
    interim = interim_hash(b"", secrets.confirmation_tag(b""))
    return _enter(context, tree, 0, own, secrets, interim, {0: own.encryption})


def _enter(
    context: GroupContext,
    tree: RatchetTree,
    own_index: int,
    own: KeyPackageSecrets,
    secrets: EpochSecrets,
    interim: bytes,
    key_pairs: Mapping[int, KeyPair],
) -> State:
    grown = SecretTree.plant(secrets.encryption, tree.leaf_count).grow(own_index)
    epoch_secrets = secrets.without_encryption()
    return State(context, tree, own_index, own.signature_seed, key_pairs, epoch_secrets, interim, grown)


def join_group(
    message: bytes,
    own: KeyPackageSecrets,
    ratchet_tree: bytes | None,
    external: Mapping[bytes, bytes],
    lifetimes: LifetimePolicy,
) -> State:
    """Join by a Welcome. The tree is in it, or given as `ratchet_tree`, encoded as the extension is.

    external: pre-shared keys by id. NotForUs, InvalidWelcome, InvalidTree or another MlsError when it does not hold.
    """
    welcome = parse_welcome(message)
    secrets = welcome.open(own)
    joiner = Joiner(secrets.joiner_secret, PskSource(external, {}).secret(secrets.psks))
    info = decode(GroupInfo.read, joiner.open_group_info(welcome.group_info))
    # Before the tree is read: a group that we can't take part in is not worth validating (§13.4).
    check_own_support(info.context.extensions)
    tree = _tree(info, ratchet_tree, LifetimeCheck(lifetimes))
    context, confirmed = info.context, info.context.confirmed_transcript_hash
    # By the whole leaf and not by the identity, which several leaves may share.
    own_index = _own_index(tree, own)
    pairs = {2 * own_index: own.encryption, **_path_pairs(tree, info, own_index, secrets)}
    epoch = joiner.epoch(context.encode())
    check_mac(epoch.confirmation_key, confirmed, info.confirmation_tag, CLAUSE)
    return _enter(context, tree, own_index, own, epoch, interim_hash(confirmed, info.confirmation_tag), pairs)


def _tree(info: GroupInfo, separate_tree: bytes | None, check_lifetime: LifetimeCheck) -> RatchetTree:
    """Take the ratchet tree, and check it and the GroupInfo's signature with it."""
    encoded = find(info.extensions, RATCHET_TREE) or separate_tree
    if encoded is None:
        raise InvalidWelcome("the ratchet tree is neither in the welcome nor given separately", "RFC 9420 §12.4.3.3")
    tree = decode(RatchetTree.read, encoded)
    signer = tree.leaf(info.signer)
    if signer is None:
        raise InvalidWelcome("the welcome's signer is no member", CLAUSE)
    # The signer is a leaf of the very tree that comes with the message, so the tree is checked afterwards (§12.4.3).
    info.verify(signer.signature_key)
    validate_tree(tree, info.context.tree_hash, info.context.group_id, info.context.extensions, check_lifetime)
    return tree


def _own_index(tree: RatchetTree, own: KeyPackageSecrets) -> int:
    ours = parse_key_package(own.key_package).leaf.encoded
    index = next((at for at, leaf in tree.leaves() if leaf.encoded == ours), None)
    if index is None:
        raise InvalidWelcome("our leaf is not in the tree", CLAUSE)
    return index


def _path_pairs(tree: RatchetTree, info: GroupInfo, own_index: int, secrets: GroupSecrets) -> dict[int, KeyPair]:
    """Key pairs from the path secret: of the lowest common ancestor with the signer, and of the nodes above."""
    if secrets.path_secret is None:
        return {}
    # A Welcome by ourselves would hand us a path secret for our own path, which only another member may know.
    if info.signer == own_index:
        raise InvalidWelcome("the welcome is signed by its recipient", CLAUSE)
    lowest = tree_math.common_ancestor(own_index, info.signer, tree.leaf_count)
    nodes = [node for node, _ in tree.filtered_path(info.signer)]
    above = nodes[nodes.index(lowest) :]
    pairs = PathSecrets.ascend(secrets.path_secret, above).key_pairs()
    # The private keys have to be those of the tree (§12.4.3.1), or the next commit would lock us out.
    check_keys(tree, pairs)
    return pairs
