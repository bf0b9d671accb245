"""The official vectors of the MLS working group (mls-implementations, test-vectors.md), each a test of its own."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from keyturn.mls import Group, KeyPackageSecrets, tree_math
from keyturn.mls.cipher_suite import (
    decrypt_with_label,
    derive_secret,
    derive_tree_secret,
    encrypt_with_label,
    expand_with_label,
    ref_hash,
    sign_with_label,
    verify_with_label,
)
from keyturn.mls.encoding import Reader, decode, vector_header
from keyturn.mls.framing import (
    MEMBER,
    PRIVATE_MESSAGE,
    PUBLIC_MESSAGE,
    AuthenticatedContent,
    FramedContent,
    Sender,
    content_type_of,
    encode_body,
    read_body,
    read_message_header,
)
from keyturn.mls.hpke import KeyPair
from keyturn.mls.key_package import KeyPackage, LifetimeCheck, moment_of, parse_key_package
from keyturn.mls.key_schedule import EpochSecrets, GroupContext, Joiner, confirmed_hash, interim_hash
from keyturn.mls.leaf_node import next_leaf
from keyturn.mls.private_message import PrivateMessage, sender_data_keys
from keyturn.mls.proposals import KINDS, Add, CommitContent, Proposal, Remove, Update, encode_proposal, read_proposal
from keyturn.mls.protection import ratchet_kind
from keyturn.mls.psk import EXTERNAL, PskId, psk_secret
from keyturn.mls.public_message import PublicMessage
from keyturn.mls.ratchet_tree import RatchetTree
from keyturn.mls.secret_tree import APPLICATION, HANDSHAKE, SecretTree
from keyturn.mls.tree_validation import validate_tree
from keyturn.mls.update_path import (
    PathSecrets,
    UpdatePath,
    check_keys,
    merge_path,
    open_path,
    renew_path,
    seal_path,
)
from keyturn.mls.welcome import GroupInfo, GroupSecrets, Welcome, parse_welcome

from tests.mls.people import ANY_LIFETIME
from tests.mls.vectors import FOLDER, Case, cases

raw = bytes.fromhex


def from_wire(message: str, read: Callable[[Reader], Any]) -> Any:  # noqa: ANN401 - any structure of the wire
    """Read what an MLSMessage carries, to its end."""
    reader = Reader(raw(message))
    read_message_header(reader)
    value = read(reader)
    reader.finish()
    return value


def check_tree_math(case: Case) -> None:
    leaves = case["n_leaves"]
    top, count = tree_math.root(leaves), tree_math.node_count(leaves)
    assert count == case["n_nodes"]
    assert top == case["root"]
    assert [tree_math.left(node) if node % 2 else None for node in range(count)] == case["left"]
    assert [tree_math.right(node) if node % 2 else None for node in range(count)] == case["right"]
    assert [None if node == top else tree_math.parent(node) for node in range(count)] == case["parent"]
    assert [None if node == top else tree_math.sibling(node) for node in range(count)] == case["sibling"]


def check_deserialization(case: Case) -> None:
    header = raw(case["vlbytes_header"])
    assert decode(Reader.vector_header, header) == case["length"]
    assert vector_header(case["length"]) == header


def check_crypto_basics(case: Case) -> None:
    hashed = case["ref_hash"]
    assert ref_hash(hashed["label"], raw(hashed["value"])) == raw(hashed["out"])
    expanded = case["expand_with_label"]
    context, length = raw(expanded["context"]), expanded["length"]
    assert expand_with_label(raw(expanded["secret"]), expanded["label"], context, length) == raw(expanded["out"])
    derived = case["derive_secret"]
    assert derive_secret(raw(derived["secret"]), derived["label"]) == raw(derived["out"])
    leaf = case["derive_tree_secret"]
    secret = derive_tree_secret(raw(leaf["secret"]), leaf["label"], leaf["generation"], leaf["length"])
    assert secret == raw(leaf["out"])
    check_signature(case["sign_with_label"])
    check_encryption(case["encrypt_with_label"])


def check_signature(case: Case) -> None:
    label, content = case["label"], raw(case["content"])
    verify_with_label(raw(case["pub"]), label, content, raw(case["signature"]))
    verify_with_label(raw(case["pub"]), label, content, sign_with_label(raw(case["priv"]), label, content))


def check_encryption(case: Case) -> None:
    pair, label, context = KeyPair.of(raw(case["priv"])), case["label"], raw(case["context"])
    assert pair.public == raw(case["pub"])
    plaintext = raw(case["plaintext"])
    given = raw(case["kem_output"]), raw(case["ciphertext"])
    assert decrypt_with_label(pair, label, context, given) == plaintext
    ours = encrypt_with_label(pair.public, label, context, plaintext, os.urandom)
    assert decrypt_with_label(pair, label, context, ours) == plaintext


def check_key_schedule(case: Case) -> None:
    init = raw(case["initial_init_secret"])
    for number, epoch in enumerate(case["epochs"]):
        tree_hash, confirmed = raw(epoch["tree_hash"]), raw(epoch["confirmed_transcript_hash"])
        context = GroupContext(raw(case["group_id"]), number, tree_hash, confirmed, ()).encode()
        assert context == raw(epoch["group_context"])
        joiner = Joiner.advance(init, raw(epoch["commit_secret"]), context, raw(epoch["psk_secret"]))
        assert joiner.joiner_secret == raw(epoch["joiner_secret"])
        assert joiner.welcome_secret == raw(epoch["welcome_secret"])
        secrets = joiner.epoch(context)
        check_secrets(secrets, epoch)
        init = secrets.init


def check_secrets(secrets: EpochSecrets, epoch: Case) -> None:
    assert secrets.init == raw(epoch["init_secret"])
    assert secrets.sender_data == raw(epoch["sender_data_secret"])
    assert secrets.encryption == raw(epoch["encryption_secret"])
    assert secrets.exporter == raw(epoch["exporter_secret"])
    assert secrets.external == raw(epoch["external_secret"])
    assert secrets.confirmation_key == raw(epoch["confirmation_key"])
    assert secrets.membership_key == raw(epoch["membership_key"])
    assert secrets.resumption_psk == raw(epoch["resumption_psk"])
    assert secrets.epoch_authenticator == raw(epoch["epoch_authenticator"])
    assert secrets.external_public() == raw(epoch["external_pub"])
    exporter = epoch["exporter"]
    exported = secrets.export(exporter["label"], raw(exporter["context"]), exporter["length"])
    assert exported == raw(exporter["secret"])


def check_psk_secret(case: Case) -> None:
    keys = [(PskId(EXTERNAL, 0, raw(psk["psk_id"]), 0, raw(psk["psk_nonce"])), raw(psk["psk"])) for psk in case["psks"]]
    assert psk_secret(keys) == raw(case["psk_secret"])


def check_secret_tree(case: Case) -> None:
    data = case["sender_data"]
    keys = sender_data_keys(raw(data["sender_data_secret"]), raw(data["ciphertext"]))
    assert keys == (raw(data["key"]), raw(data["nonce"]))
    tree = SecretTree.plant(raw(case["encryption_secret"]), len(case["leaves"]))
    for leaf, generations in enumerate(case["leaves"]):
        for entry in generations:
            for kind, name in ((HANDSHAKE, "handshake"), (APPLICATION, "application")):
                tree, key = tree.take(leaf, kind, entry["generation"])
                assert (key.key, key.nonce) == (raw(entry[f"{name}_key"]), raw(entry[f"{name}_nonce"]))


def check_transcript_hashes(case: Case) -> None:
    content = decode(AuthenticatedContent.read, raw(case["authenticated_content"]))
    confirmed = confirmed_hash(raw(case["interim_transcript_hash_before"]), content.transcript_input())
    assert confirmed == raw(case["confirmed_transcript_hash_after"])
    assert interim_hash(confirmed, content.confirmation_tag) == raw(case["interim_transcript_hash_after"])
    empty = dict.fromkeys(EpochSecrets.__dataclass_fields__, b"")
    secrets = EpochSecrets(**{**empty, "confirmation_key": raw(case["confirmation_key"])})
    assert secrets.confirmation_tag(confirmed) == content.confirmation_tag


def check_welcome(case: Case) -> None:
    package = from_wire(case["key_package"], KeyPackage.read)
    pair = KeyPair.of(raw(case["init_priv"]))
    assert pair.public == package.init_key
    welcome = parse_welcome(raw(case["welcome"]))
    sealed = dict(welcome.secrets)[package.reference]
    secrets = decode(GroupSecrets.read, decrypt_with_label(pair, "Welcome", welcome.group_info, sealed))
    joiner = Joiner(secrets.joiner_secret)
    info = decode(GroupInfo.read, joiner.open_group_info(welcome.group_info))
    info.verify(raw(case["signer_pub"]))
    epoch = joiner.epoch(info.context.encode())
    assert epoch.confirmation_tag(info.context.confirmed_transcript_hash) == info.confirmation_tag


def check_tree_operations(case: Case) -> None:
    before = decode(RatchetTree.read, raw(case["tree_before"]))
    assert before.root_hash == raw(case["tree_hash_before"])
    proposal = decode(read_proposal, raw(case["proposal"]))
    after = before.copy()
    match proposal:
        case Add(key_package=package):
            after.add(package.leaf)
        case Update(leaf=leaf):
            after.update(case["proposal_sender"], leaf)
        case Remove(removed=index):
            after.remove(index)
    assert after.encode() == raw(case["tree_after"])
    assert after.root_hash == raw(case["tree_hash_after"])
    assert before.encode() == raw(case["tree_before"])


def check_tree_validation(case: Case) -> None:
    tree = decode(RatchetTree.read, raw(case["tree"]))
    nodes = range(len(tree.nodes))
    assert [tree.tree_hash(node) for node in nodes] == [raw(value) for value in case["tree_hashes"]]
    assert [tree.resolution(node) for node in nodes] == case["resolutions"]
    validate_tree(tree, tree.root_hash, raw(case["group_id"]), (), LifetimeCheck(ANY_LIFETIME))


def check_treekem(case: Case) -> None:
    tree = decode(RatchetTree.read, raw(case["ratchet_tree"]))
    members = {private["index"]: private for private in case["leaves_private"]}
    pairs = {index: known_pairs(private) for index, private in members.items()}
    for index, known in pairs.items():
        check_keys(tree, known)
        assert tree.nodes[2 * index] is not None
    for update in case["update_paths"]:
        check_given_path(case, tree, pairs, update)
        check_own_path(case, tree, pairs, members[update["sender"]])


def known_pairs(private: Case) -> dict[int, KeyPair]:
    leaf = {2 * private["index"]: KeyPair.of(raw(private["encryption_priv"]))}
    secrets = {entry["node"]: raw(entry["path_secret"]) for entry in private["path_secrets"]}
    return {**leaf, **PathSecrets(secrets, b"").key_pairs()}


def coming(case: Case, tree: RatchetTree) -> bytes:
    confirmed = raw(case["confirmed_transcript_hash"])
    return GroupContext(raw(case["group_id"]), case["epoch"], tree.root_hash, confirmed, ()).encode()


def check_given_path(case: Case, tree: RatchetTree, pairs: dict[int, dict[int, KeyPair]], update: Case) -> None:
    path, sender = decode(UpdatePath.read, raw(update["update_path"])), update["sender"]
    assert path.encode() == raw(update["update_path"])
    path.leaf.verify(raw(case["group_id"]), sender)
    merged = tree.copy()
    merge_path(merged, sender, path)
    assert merged.root_hash == raw(update["tree_hash_after"])
    for index, known in pairs.items():
        if index != sender:
            opened = open_path(merged, (sender, index), path, known, (), coming(case, merged))
            assert next(iter(opened.secrets.values())) == raw(update["path_secrets"][index])
            assert opened.commit_secret == raw(update["commit_secret"])
            check_keys(merged, opened.key_pairs())


def check_own_path(case: Case, tree: RatchetTree, pairs: dict[int, dict[int, KeyPair]], sender: Case) -> None:
    index, seed, group_id = sender["index"], raw(sender["signature_priv"]), raw(case["group_id"])
    old, renewed = tree.leaf(index), tree.copy()
    assert old is not None
    fresh = renew_path(
        renewed,
        index,
        lambda key, parent_hash: next_leaf(old, seed, key, (group_id, index), parent_hash),
        (os.urandom(32), KeyPair.generate(os.urandom)),
    )
    path = seal_path(renewed, index, fresh, (), coming(case, renewed), os.urandom)
    merged = tree.copy()
    merge_path(merged, index, path)
    assert merged.root_hash == renewed.root_hash
    for other, known in pairs.items():
        if other != index:
            opened = open_path(merged, (index, other), path, known, (), coming(case, merged))
            assert opened.commit_secret == fresh.path.commit_secret


def check_message_protection(case: Case) -> None:
    fields = raw(case["group_id"]), case["epoch"], raw(case["tree_hash"]), raw(case["confirmed_transcript_hash"])
    context = GroupContext(*fields, ()).encode()
    for content_type, name in enumerate(("application", "proposal", "commit"), start=1):
        body = raw(case[name]) if name == "application" else decode(reader_of(content_type), raw(case[name]))
        check_private(case, context, content_type, raw(case[f"{name}_priv"]), body)
        content = FramedContent(fields[0], fields[1], Sender(MEMBER, 1), b"", body)
        check_own_protection(case, context, content)
        if name != "application":
            check_public(case, context, raw(case[f"{name}_pub"]), body)


def reader_of(content_type: int) -> Callable[[Reader], Any]:
    return lambda reader: read_body(content_type, reader)


def check_private(case: Case, context: bytes, content_type: int, message: bytes, body: object) -> None:
    opened = open_with(case, from_wire(message.hex(), PrivateMessage.read))
    opened.verify(context, raw(case["signature_pub"]))
    assert opened.content.body == body
    assert content_type_of(opened.content.body) == content_type


def open_with(case: Case, message: PrivateMessage) -> AuthenticatedContent:
    data = message.open_sender(raw(case["sender_data_secret"]))
    assert data.leaf_index == 1
    tree = SecretTree.plant(raw(case["encryption_secret"]), 2)
    _, key = tree.take(data.leaf_index, ratchet_kind(message.content_type), data.generation)
    return message.open(data, key)


def check_public(case: Case, context: bytes, message: bytes, body: object) -> None:
    public = from_wire(message.hex(), PublicMessage.read)
    opened = public.open(context, raw(case["membership_key"]))
    opened.verify(context, raw(case["signature_pub"]))
    assert opened.content.body == body
    assert public.message() == message
    assert PublicMessage.protect(opened, context, raw(case["membership_key"])) == public


def check_own_protection(case: Case, context: bytes, content: FramedContent) -> None:
    seed = raw(case["signature_priv"])
    signed = AuthenticatedContent.sign(PRIVATE_MESSAGE, content, context, seed)
    tree = SecretTree.plant(raw(case["encryption_secret"]), 2)
    _, key = tree.next(1, ratchet_kind(content.content_type))
    sealed = PrivateMessage.protect(signed, key, raw(case["sender_data_secret"]), os.urandom, padding=7)
    assert open_with(case, sealed) == signed
    public = AuthenticatedContent.sign(PUBLIC_MESSAGE, content, context, seed)
    public.verify(context, raw(case["signature_pub"]))


def check_messages(case: Case) -> None:
    for name, read in (
        ("mls_welcome", Welcome.read),
        ("mls_group_info", GroupInfo.read),
        ("mls_key_package", KeyPackage.read),
        ("public_message_application", PublicMessage.read),
        ("public_message_proposal", PublicMessage.read),
        ("public_message_commit", PublicMessage.read),
        ("private_message", PrivateMessage.read),
    ):
        assert raw(case[name])[4:] == from_wire(case[name], read).encode()
    kinds = "add", "update", "remove", "pre_shared_key", "re_init", "external_init", "group_context_extensions"
    for kind, name in enumerate(kinds, start=1):
        encoded = raw(case[f"{name}_proposal"])
        read_kind: Callable[[Reader], Proposal] = KINDS[kind].read
        proposal = decode(read_kind, encoded)
        assert proposal.encode() == encoded
        assert encode_proposal(proposal) == kind.to_bytes(2, "big") + encoded
    commit = decode(CommitContent.read, raw(case["commit"]))
    assert encode_body(commit) == raw(case["commit"])
    assert decode(RatchetTree.read, raw(case["ratchet_tree"])).encode() == raw(case["ratchet_tree"])
    assert decode(GroupSecrets.read, raw(case["group_secrets"])).encode() == raw(case["group_secrets"])


def check_passive_client(case: Case) -> None:
    package = parse_key_package(raw(case["key_package"]))
    own = KeyPackageSecrets.assemble(
        *(raw(case[name]) for name in ("key_package", "init_priv", "encryption_priv", "signature_priv"))
    )
    psks = {raw(psk["psk_id"]): raw(psk["psk"]) for psk in case["external_psks"]}
    given = None if case["ratchet_tree"] is None else raw(case["ratchet_tree"])
    now = moment_of(package.leaf.lifetime[0] + 1)
    group = Group.join(raw(case["welcome"]), own, now=now, ratchet_tree=given, psks=psks, lifetimes=ANY_LIFETIME)
    assert group.epoch_authenticator == raw(case["initial_epoch_authenticator"])
    for epoch in case["epochs"]:
        for message in (*epoch["proposals"], epoch["commit"]):
            group, _ = Group.from_bytes(group.to_bytes()).receive(
                raw(message), now=now, psks=psks, lifetimes=ANY_LIFETIME
            )
        assert group.epoch_authenticator == raw(epoch["epoch_authenticator"])


CHECKS: dict[str, Callable[[Case], None]] = {
    "crypto-basics": check_crypto_basics,
    "deserialization": check_deserialization,
    "key-schedule": check_key_schedule,
    "message-protection": check_message_protection,
    "messages": check_messages,
    "passive-client-handling-commit": check_passive_client,
    "passive-client-welcome": check_passive_client,
    "psk_secret": check_psk_secret,
    "secret-tree": check_secret_tree,
    "transcript-hashes": check_transcript_hashes,
    "tree-math": check_tree_math,
    "tree-operations": check_tree_operations,
    "tree-validation": check_tree_validation,
    "treekem": check_treekem,
    "welcome": check_welcome,
}


CASES = [
    pytest.param(name, check, case, id=identity) for name, check in CHECKS.items() for identity, case in cases(name)
]


@pytest.mark.parametrize(("name", "check", "case"), CASES)
def test_official_vector(
    name: str, check: Callable[[Case], None], case: Case, record_property: Callable[[str, object], None]
) -> None:
    check(case)
    record_property("vector", name)


def test_every_file_of_vectors_is_read() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == CHECKS.keys()
