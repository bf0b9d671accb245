"""Rules that the vectors and one peer do not show. Each test failed before, with the input that showed the fault."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from keyturn.mls import (
    ApplicationReceived,
    CommitReceived,
    CommitRequired,
    Group,
    InvalidArgument,
    InvalidCommit,
    InvalidLeafNode,
    KeyPackageSecrets,
    MalformedMessage,
    UnsupportedFeature,
    leaf_node,
    proposal_choice,
    proposal_list,
)
from keyturn.mls.cipher_suite import check_signature_key, signature_public
from keyturn.mls.commit_creation import Draft, create_commit
from keyturn.mls.encoding import Reader, decode, uint16s
from keyturn.mls.extensions import LAST_RESORT, RATCHET_TREE, REQUIRED_CAPABILITIES, Extension, find, read_extensions
from keyturn.mls.framing import GROUP_INFO, read_message_header
from keyturn.mls.key_package import DEFAULT_LIFETIMES, parse_key_package
from keyturn.mls.leaf_node import SUPPORTED, LeafNode, check_own_support, next_leaf
from keyturn.mls.proposals import GroupContextExtensions, Proposal, Remove, Update
from keyturn.mls.protection import protect, sign
from keyturn.mls.ratchet_tree import RatchetTree
from keyturn.mls.welcome import GroupInfo

from tests.mls.people import NOW, RANDOM, agree, commit_by, deliver, group_of, person

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def propose(group: Group, proposal: Proposal) -> tuple[Group, bytes]:
    """Send a proposal without checking it."""
    state, message = protect(group.state, sign(group.state, proposal, b"", public=False), RANDOM, 0)
    return Group(state), message


# M3: RFC 9420 §12.4


@pytest.mark.parametrize("own", [True, False])
def test_no_application_message_over_a_waiting_proposal(own: bool) -> None:  # noqa: FBT001 - a parameter of the test
    groups = group_of(3)
    proposer = 0 if own else 1
    groups[proposer], message = groups[proposer].propose_remove(2, random=RANDOM, now=NOW)
    groups = deliver(groups, message, proposer)
    with pytest.raises(CommitRequired, match=r"§12\.4"):
        groups[0].encrypt(b"text", random=RANDOM)
    made = groups[0].commit(random=RANDOM, now=NOW)
    after, text = made.group.encrypt(b"text", random=RANDOM)
    assert not groups[2].receive(made.message, now=NOW)[0].is_active
    event = groups[1].receive(made.message, now=NOW)[0].receive(text, now=NOW)[1]
    assert isinstance(event, ApplicationReceived)
    assert after.is_active


# M4: RFC 9420 §16.5


def small_order_points() -> set[bytes]:
    """Compute the encodings of all points of small order (RFC 8032 §5.1): y of orders 1, 2, 4 and 8, both signs."""
    # y of order 8: their double has y = 0, which gives d y^4 + 2 y^2 - 1 = 0 on -x^2 + y^2 = 1 + d x^2 y^2.
    root = pow(1 + D, (P + 3) // 8, P)
    if root * root % P != (1 + D) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    squares = [(-1 + sign * root) * pow(D, -1, P) % P for sign in (1, -1)]
    eighth = {y for square in squares for y in _roots(square)}
    values = {0, 1, P - 1, *eighth, P, P + 1}
    return {(y | top << 255).to_bytes(32, "little") for y in values for top in (0, 1)}


def _roots(square: int) -> set[int]:
    root = pow(square, (P + 3) // 8, P)
    candidates = {root, root * pow(2, (P - 1) // 4, P) % P}
    return {y for one in candidates for y in (one, P - one) if y * y % P == square}


@pytest.mark.parametrize("key", sorted(small_order_points()))
def test_a_signature_key_is_not_of_small_order(key: bytes) -> None:
    with pytest.raises(MalformedMessage, match="small order"):
        check_signature_key(key)


def test_all_small_orders_are_tried_and_ordinary_keys_pass() -> None:
    assert len(small_order_points()) == 14
    for _ in range(20):
        check_signature_key(signature_public(RANDOM(32)))
    with pytest.raises(MalformedMessage):
        check_signature_key(bytes(31))


def test_a_leaf_with_a_signature_key_of_small_order_is_refused() -> None:
    leaf: LeafNode = replace(group_of(2)[1].state.own_leaf, signature_key=b"\x01" + bytes(31))
    # R = identity, S = 0 verifies for every message under this key.
    leaf = replace(leaf, signature=b"\x01" + bytes(63))
    with pytest.raises(MalformedMessage):
        leaf.validate(None)


# M5: RFC 9420 §12.1.7


REQUIRED = Extension(REQUIRED_CAPABILITIES, uint16s((LAST_RESORT,)) + b"\x00\x00")


def limited(name: str, monkeypatch: pytest.MonkeyPatch) -> KeyPackageSecrets:
    """Make a key package whose owner does not support the last_resort extension."""
    with monkeypatch.context() as patched:
        patched.setattr(leaf_node, "sent_capabilities", lambda _random: replace(SUPPORTED, extensions=()))
        return person(name)


def test_a_capability_may_be_required_together_with_removing_the_member_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carol, groups = limited("carol", monkeypatch), group_of(2)
    made = groups[0].commit(random=RANDOM, now=NOW, add=[carol.key_package])
    alice, bob = made.group, groups[1].receive(made.message, now=NOW)[0]
    change, removal = GroupContextExtensions((REQUIRED,)), Remove(2)
    both = create_commit(
        alice.state, Draft((), (change, removal)), {}, lifetimes=DEFAULT_LIFETIMES, random=RANDOM, now=NOW
    )
    assert bob.receive(both.message, now=NOW)[0].epoch_authenticator == Group(both.state).epoch_authenticator
    with pytest.raises(InvalidLeafNode, match="required capability"):
        create_commit(alice.state, Draft((), (change,)), {}, lifetimes=DEFAULT_LIFETIMES, random=RANDOM, now=NOW)
    # By reference: the change alone is received, and left out of a commit that it would make invalid.
    waiting, _ = bob.receive(propose(alice, change)[1], now=NOW)
    assert waiting.commit(random=RANDOM, now=NOW).group.extensions == b"\x00"
    assert waiting.commit(random=RANDOM, now=NOW, remove=[2]).group.extensions != b"\x00"
    with pytest.raises(InvalidLeafNode, match="required capability"):
        waiting.commit(random=RANDOM, now=NOW, remove=[2]).group.commit(
            random=RANDOM, now=NOW, add=[limited("dave", monkeypatch).key_package]
        )


# M6: RFC 9420 §12.2, chosen in linear time


def test_choosing_among_pending_adds_applies_the_list_once(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = group_of(2)
    for number in range(40):
        groups[1], message = groups[1].propose_add(person(f"p{number}").key_package, random=RANDOM, now=NOW)
        groups = deliver(groups, message, 1)
    calls: list[int] = []
    counted = proposal_list.validate

    def count(*arguments: Any) -> None:  # noqa: ANN401 - passed on as given
        calls.append(1)
        counted(*arguments)

    monkeypatch.setattr(proposal_choice, "validate", count)
    monkeypatch.setattr(proposal_choice, "apply", None)  # not called without a change of extensions
    made = groups[0].commit(random=RANDOM, now=NOW)
    assert len(calls) == 40
    assert len(made.group.members) == 42


def test_conflicting_proposals_are_left_out_one_by_one() -> None:
    groups = group_of(5)
    group, twice, first_pending = groups[0], person("twice").key_package, 2
    soon = person("short", until=NOW).key_package

    def take(at: int, sent: tuple[Group, bytes]) -> None:
        nonlocal group
        groups[at] = sent[0]
        group, _ = group.receive(sent[1], now=NOW)

    take(1, groups[1].propose_add(twice, random=RANDOM, now=NOW))
    take(2, groups[2].propose_add(twice, random=RANDOM, now=NOW))
    take(3, groups[3].propose_update(random=RANDOM, now=NOW))
    take(3, groups[3].propose_update(random=RANDOM, now=NOW))
    take(4, groups[4].propose_update(random=RANDOM, now=NOW))
    take(1, groups[1].propose_remove(4, random=RANDOM, now=NOW))
    take(1, groups[1].propose_remove(0, random=RANDOM, now=NOW))
    take(2, groups[2].propose_add(soon, random=RANDOM, now=NOW))
    stolen = Update(replace_key(groups[2], groups[3].state.own_leaf.encryption_key))
    take(2, propose(groups[2], stolen))
    latest = group.state.pending[first_pending + 1].proposal
    assert isinstance(latest, Update)
    made = group.commit(random=RANDOM, now=NOW + timedelta(seconds=1))
    assert made.group.pending == ()
    assert [member.identity for member in made.group.members] == [b"0", b"1", b"2", b"3", b"twice"]
    assert made.group.members[3].encryption_key == latest.leaf.encryption_key
    assert made.group.members[2].encryption_key == group.members[2].encryption_key


def replace_key(group: Group, key: bytes) -> LeafNode:
    state = group.state
    return next_leaf(state.own_leaf, state.seed, key, (state.context.group_id, state.own_index), None)


# M9: RFC 9420 §13.4, §13.5


def test_our_own_grease_is_sent_and_not_supported() -> None:
    sent = person("name")
    capabilities = parse_key_package(sent.key_package).leaf.capabilities
    for listed, own in (
        (capabilities.cipher_suites, SUPPORTED.cipher_suites),
        (capabilities.extensions, SUPPORTED.extensions),
        (capabilities.proposals, SUPPORTED.proposals),
        (capabilities.credentials, SUPPORTED.credentials),
    ):
        assert len(set(listed) - set(own)) == 1
    grease = (set(capabilities.proposals) - set(SUPPORTED.proposals)).pop()
    with pytest.raises(UnsupportedFeature):
        check_own_support((Extension(REQUIRED_CAPABILITIES, b"\x00" + uint16s((grease,)) + b"\x00"),))


# Partial commits, RFC 9420 §12.4


def test_a_commit_that_only_adds_may_leave_out_the_path() -> None:
    groups = group_of(4)
    groups = commit_by(groups, 1)
    joining = [person(f"late {number}") for number in range(3)]
    packages = [one.key_package for one in joining]
    with_path = groups[0].commit(random=RANDOM, now=NOW, add=packages)
    made = groups[0].commit(random=RANDOM, now=NOW, add=packages, path=False)
    assert len(made.message) < len(with_path.message)
    assert made.welcome is not None
    after = [made.group, *(group.receive(made.message, now=NOW)[0] for group in groups[1:])]
    after += [Group.join(made.welcome, one, now=NOW) for one in joining]
    assert agree(after)
    # One Welcome serves all of them, and whoever commits next reaches everybody.
    for at in (6, 2, 0):
        after = commit_by(after, at)
        assert agree(after)


def test_a_path_is_left_out_only_where_that_is_allowed() -> None:
    groups = group_of(3)
    for remove, seed in (([], None), ([2], None), ([], RANDOM(32))):
        add = [person("new").key_package] if seed else []
        with pytest.raises(InvalidCommit, match="needs a path"):
            groups[0].commit(random=RANDOM, now=NOW, add=add, remove=remove, path=False, new_signature_seed=seed)


# Signature keys change


@pytest.mark.parametrize("by_proposal", [True, False])
def test_a_signature_key_can_be_changed(by_proposal: bool) -> None:  # noqa: FBT001 - a parameter of the test
    groups, seed = group_of(3), RANDOM(32)
    if by_proposal:
        groups[1], message = groups[1].propose_update(random=RANDOM, now=NOW, new_signature_seed=seed)
        groups = deliver([groups[0], Group.from_bytes(groups[1].to_bytes()), groups[2]], message, 1)
        groups = commit_by(groups, 0)
    else:
        made = groups[1].commit(random=RANDOM, now=NOW, new_signature_seed=seed)
        alice, event = groups[0].receive(made.message, now=NOW)
        assert isinstance(event, CommitReceived)
        assert event.committer_after is not None
        assert event.committer.signature_key != event.committer_after.signature_key == signature_public(seed)
        groups = [alice, made.group, groups[2].receive(made.message, now=NOW)[0]]
    assert agree(groups)
    assert groups[0].members[1].signature_key == signature_public(seed)
    groups[1], text = Group.from_bytes(groups[1].to_bytes()).encrypt(b"signed anew", random=RANDOM)
    assert isinstance(groups[2].receive(text, now=NOW)[1], ApplicationReceived)
    assert agree(commit_by(groups, 1))


def test_a_new_signature_key_has_the_right_size_and_belongs_to_no_other_member() -> None:
    groups = group_of(2)
    with pytest.raises(InvalidArgument):
        groups[0].commit(random=RANDOM, now=NOW, new_signature_seed=bytes(31))
    with pytest.raises(InvalidArgument):
        groups[0].propose_update(random=RANDOM, now=NOW, new_signature_seed=bytes(31))
    with pytest.raises(InvalidLeafNode):
        groups[0].commit(random=RANDOM, now=NOW, new_signature_seed=groups[1].state.seed)


# Extensions at creation, and exports


def test_a_group_is_created_with_extensions_that_every_member_supports(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group.create(b"group", person("0"), random=RANDOM, now=NOW, extensions={REQUIRED.kind: REQUIRED.data})
    assert decode(read_extensions, group.extensions) == (REQUIRED,)
    made = group.commit(random=RANDOM, now=NOW, add=[(one := person("1")).key_package])
    assert made.welcome is not None
    assert Group.join(made.welcome, one, now=NOW).extensions == group.extensions
    with pytest.raises(InvalidLeafNode):
        group.commit(random=RANDOM, now=NOW, add=[limited("2", monkeypatch).key_package])


def test_tree_and_group_info_are_exported() -> None:
    group = commit_by(group_of(3), 0)[0]
    reader = Reader(group.group_info())
    assert read_message_header(reader) == GROUP_INFO
    info = GroupInfo.read(reader)
    reader.finish()
    info.verify(group.members[0].signature_key)
    assert info.context == group.state.context
    assert find(info.extensions, RATCHET_TREE) == group.ratchet_tree
    assert decode(RatchetTree.read, group.ratchet_tree).root_hash == group.tree_hash
