"""Commits and proposals as a member with bad intentions would make them: refused, and nothing changes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from keyturn.mls import (
    ExpiredKeyPackage,
    Group,
    InvalidCommit,
    InvalidLeafNode,
    InvalidProposal,
    InvalidSignature,
    InvalidTag,
    LifetimePolicy,
    MalformedMessage,
    MlsError,
    ProposalReceived,
    UnknownPsk,
    UnsupportedFeature,
    receiving,
)
from keyturn.mls.commit_creation import _renew
from keyturn.mls.epoch_change import LAST_EPOCH, provisional_context
from keyturn.mls.extensions import EXTERNAL_SENDERS, Extension
from keyturn.mls.hpke import KeyPair
from keyturn.mls.key_package import parse_key_package
from keyturn.mls.leaf_node import LeafNode, next_leaf
from keyturn.mls.proposal_list import Pending, apply
from keyturn.mls.proposals import (
    Add,
    CommitContent,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    Reference,
    ReInit,
    Remove,
    Update,
)
from keyturn.mls.protection import protect, sign
from keyturn.mls.psk import APPLICATION, BRANCH, EXTERNAL, REINIT, RESUMPTION, PskId
from keyturn.mls.update_path import UpdatePath

from tests.mls.people import ANY_LIFETIME, DAY, LOW_ORDER, NOW, RANDOM, RECEIVED, SENT, agree, group_of, person

GROUPS = group_of(4)
ALICE, BOB = GROUPS[0].state, GROUPS[1]
SECOND = timedelta(seconds=1)
PSK = PskId(EXTERNAL, 0, b"psk", 0, bytes(32))
Entry = Proposal | Reference


def sent(entries: Sequence[Entry], path: UpdatePath | None, tag: bytes = bytes(32)) -> bytes:
    signed = sign(ALICE, CommitContent(tuple(entries), path), b"", public=True)
    return protect(ALICE, replace(signed, confirmation_tag=tag), RANDOM, 0)[1]


def honest_path(entries: Sequence[Proposal] = ()) -> UpdatePath:
    pending = [Pending(b"", 0, entry) for entry in entries]
    return _renew(ALICE, apply(ALICE.tree, ALICE.context, pending, 0, SENT), ALICE.seed, RANDOM)[2]


def refused(message: bytes, error: type[MlsError], by: Group = BOB, now: datetime = NOW) -> None:
    before = by.to_bytes()
    with pytest.raises(error):
        by.receive(message, now=now)
    assert by.to_bytes() == before


def propose(proposal: Proposal) -> bytes:
    return protect(ALICE, sign(ALICE, proposal, b"", public=False), RANDOM, 0)[1]


def update_of(index: int, key: bytes | None = None) -> Update:
    state = GROUPS[index].state
    place = state.context.group_id, index
    return Update(next_leaf(state.own_leaf, state.seed, key or KeyPair.generate(RANDOM).public, place, None))


NEW = Add(parse_key_package(person("new").key_package))
SAME = Add(parse_key_package(person("same").key_package))


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ([], InvalidCommit),
        ([Remove(2)], InvalidCommit),
        ([GroupContextExtensions(())], InvalidCommit),
        ([NEW], InvalidTag),
        ([Remove(0)], InvalidProposal),
        ([Remove(4)], InvalidProposal),
        ([Remove(2), Remove(2)], InvalidProposal),
        ([update_of(0)], InvalidProposal),
        ([SAME, SAME], InvalidProposal),
        ([GroupContextExtensions(()), GroupContextExtensions(())], InvalidProposal),
        ([GroupContextExtensions((Extension(0x1234, b""),))], UnsupportedFeature),
        ([GroupContextExtensions((Extension(EXTERNAL_SENDERS, b""),))], UnsupportedFeature),
        ([PreSharedKey(PSK), PreSharedKey(PSK)], InvalidProposal),
        ([PreSharedKey(PSK)], UnknownPsk),
        ([PreSharedKey(PskId(RESUMPTION, APPLICATION, b"group", 0, bytes(32)))], UnknownPsk),
        ([PreSharedKey(PskId(RESUMPTION, REINIT, b"group", 1, bytes(32)))], InvalidProposal),
        ([PreSharedKey(PskId(RESUMPTION, BRANCH, b"group", 1, bytes(32)))], InvalidProposal),
        ([PreSharedKey(replace(PSK, nonce=bytes(31)))], InvalidProposal),
        ([ReInit(b"next", 1, 1, ())], UnsupportedFeature),
        ([ExternalInit(bytes(32))], UnsupportedFeature),
        ([Reference(bytes(32))], InvalidProposal),
    ],
)
def test_lists_that_no_commit_may_have(entries: list[Entry], error: type[MlsError]) -> None:
    refused(sent(entries, None), error)


def test_a_confirmation_tag_has_to_hold() -> None:
    refused(sent([], honest_path()), InvalidTag)
    refused(sent([], honest_path(), b""), InvalidTag)


def test_a_path_has_the_length_of_the_filtered_direct_path() -> None:
    path = honest_path()
    for nodes in (path.nodes[1:], (*path.nodes, path.nodes[-1]), ()):
        refused(sent([], replace(path, nodes=nodes)), InvalidCommit)


def test_a_path_is_sealed_to_exactly_the_resolution() -> None:
    path = honest_path()
    for sealed in ((), path.nodes[1].sealed[:1] * 3):
        nodes = path.nodes[0], replace(path.nodes[1], sealed=sealed)
        refused(sent([], replace(path, nodes=nodes)), InvalidCommit)


def test_a_path_brings_new_keys_only() -> None:
    path = honest_path()
    for key in (ALICE.own_leaf.encryption_key, path.nodes[1].encryption_key):
        nodes = replace(path.nodes[0], encryption_key=key), path.nodes[1]
        refused(sent([], replace(path, nodes=nodes)), InvalidCommit)


def test_a_paths_secrets_are_those_of_its_keys() -> None:
    first, second = honest_path(), honest_path()
    nodes = first.nodes[0], replace(first.nodes[1], sealed=second.nodes[1].sealed)
    refused(sent([], replace(first, nodes=nodes)), MlsError, GROUPS[2])
    nodes = replace(first.nodes[0], sealed=second.nodes[0].sealed), first.nodes[1]
    refused(sent([], replace(first, nodes=nodes)), MlsError)


def test_a_paths_leaf_is_one_of_a_commit_signed_for_its_place() -> None:
    path = honest_path()
    refused(sent([], replace(path, leaf=update_of(0).leaf)), InvalidLeafNode)
    refused(sent([], replace(path, leaf=replace_signature(path))), InvalidSignature)
    leaf = next_leaf(ALICE.own_leaf, ALICE.seed, KeyPair.generate(RANDOM).public, (b"group", 0), bytes(32))
    refused(sent([], replace(path, leaf=leaf)), InvalidCommit)
    leaf = next_leaf(ALICE.own_leaf, ALICE.seed, bytes(31), (b"group", 0), path.leaf.parent_hash)
    refused(sent([], replace(path, leaf=leaf)), MalformedMessage)


@pytest.mark.parametrize("key", LOW_ORDER)
def test_a_committer_stays_within_reach_of_the_next(key: bytes) -> None:
    # No tag is needed to refuse it. Taken in, it would leave no member able to commit until this one is removed.
    path = honest_path()
    leaf = next_leaf(ALICE.own_leaf, ALICE.seed, key, (b"group", 0), path.leaf.parent_hash)
    refused(sent([], replace(path, leaf=leaf)), MalformedMessage)


def replace_signature(path: UpdatePath) -> LeafNode:
    encoded = path.leaf.unsigned + b"\x40\x40" + bytes(64)
    return replace(path.leaf, signature=bytes(64), encoded=encoded)


def test_an_added_member_brings_new_keys() -> None:
    mine = replace(NEW.key_package, leaf=replace(NEW.key_package.leaf, signature_key=ALICE.own_leaf.signature_key))
    with pytest.raises(InvalidSignature):
        apply(ALICE.tree, ALICE.context, [Pending(b"", 1, Add(mine))], 0, RECEIVED)


@pytest.mark.parametrize(
    ("proposal", "error"),
    [
        (update_of(0, ALICE.own_leaf.encryption_key), InvalidProposal),
        (update_of(2), InvalidSignature),
        (Update(ALICE.own_leaf), InvalidLeafNode),
        (Remove(9), InvalidProposal),
        (ReInit(b"next", 1, 1, ()), UnsupportedFeature),
        (ExternalInit(b""), UnsupportedFeature),
    ],
)
def test_proposals_that_are_refused(proposal: Proposal, error: type[MlsError]) -> None:
    refused(propose(proposal), error)


def test_an_expired_newcomer_is_refused_by_the_sender_and_followed_by_a_late_receiver() -> None:
    # RFC 9420 §7.3: a leaf may expire between sending and receiving. Before, one short-lived key package dropped every
    # member out of the group that read the commit later.
    late = NOW + 31 * DAY
    with pytest.raises(ExpiredKeyPackage):
        GROUPS[0].commit(random=RANDOM, now=late, add=[person("new").key_package])
    with pytest.raises(ExpiredKeyPackage):
        GROUPS[0].propose_add(person("new").key_package, random=RANDOM, now=late)
    made = GROUPS[0].commit(random=RANDOM, now=NOW, add=[person("brief", until=NOW + SECOND).key_package])
    assert agree([made.group, BOB.receive(made.message, now=late)[0]])
    assert isinstance(BOB.receive(propose(NEW), now=late)[1], ProposalReceived)


def test_a_total_lifetime_has_a_maximum_for_all() -> None:
    package = person("forever", until=NOW + 36_500 * DAY).key_package
    endless = Add(parse_key_package(package))
    for use in (GROUPS[0].commit, lambda **times: GROUPS[0].propose_add(times.pop("add")[0], **times)):
        with pytest.raises(InvalidLeafNode):
            use(random=RANDOM, now=NOW, add=[package])
    refused(propose(endless), InvalidLeafNode)
    refused(sent([endless], honest_path()), InvalidLeafNode)
    made = GROUPS[0].commit(random=RANDOM, now=NOW, add=[package], lifetimes=ANY_LIFETIME)
    assert agree([made.group, BOB.receive(made.message, now=NOW, lifetimes=ANY_LIFETIME)[0]])


def test_an_application_may_demand_remaining_lifetime() -> None:
    demanding = LifetimePolicy(least_remaining=30 * DAY)
    with pytest.raises(ExpiredKeyPackage):
        GROUPS[0].commit(random=RANDOM, now=NOW + SECOND, add=[person("new").key_package], lifetimes=demanding)
    assert GROUPS[0].commit(random=RANDOM, now=NOW, add=[person("new").key_package], lifetimes=demanding)


def test_a_newcomer_supports_what_the_group_uses() -> None:
    context = replace(ALICE.context, extensions=(Extension(0x1234, b""),))
    with pytest.raises(InvalidLeafNode):
        apply(ALICE.tree, context, [Pending(b"", 0, NEW)], 0, SENT)


def test_pending_proposals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MOST_PENDING", 1)
    after, _ = BOB.receive(propose(Remove(2)), now=NOW)
    refused(GROUPS[2].propose_remove(3, random=RANDOM, now=NOW)[1], InvalidProposal, by=after)


def test_a_group_has_a_last_epoch() -> None:
    last = replace(ALICE, context=replace(ALICE.context, epoch=LAST_EPOCH))
    with pytest.raises(InvalidCommit):
        provisional_context(last, last.tree, ())


@pytest.mark.parametrize("mine", [True, False])
def test_a_pre_shared_key_is_needed_by_all(mine: bool) -> None:  # noqa: FBT001 - a parameter of the test
    bob, _ = BOB.receive(propose(PreSharedKey(PSK)), now=NOW)
    carol, _ = GROUPS[2].receive(propose(PreSharedKey(PSK)), now=NOW)
    made = bob.commit(random=RANDOM, now=NOW, psks={b"psk": b"key"} if mine else None)
    followed = carol.receive(made.message, now=NOW, psks={b"psk": b"key"})[0]
    assert agree([made.group, followed])
    if mine:
        refused(made.message, UnknownPsk, by=carol)
        with pytest.raises(InvalidTag):
            carol.receive(made.message, now=NOW, psks={b"psk": b"another"})


def test_extensions_of_the_group_context_are_taken_over() -> None:
    bob, _ = BOB.receive(propose(GroupContextExtensions((Extension(1, b""),))), now=NOW)
    carol, _ = GROUPS[2].receive(propose(GroupContextExtensions((Extension(1, b""),))), now=NOW)
    made = bob.commit(random=RANDOM, now=NOW)
    carol, _ = carol.receive(made.message, now=NOW)
    assert agree([made.group, carol])
    assert carol.state.context.extensions == (Extension(1, b""),)
    assert (BOB.extensions, carol.extensions) == (b"\x00", b"\x03\x00\x01\x00")


def test_an_unmerged_leaf_is_served() -> None:
    groups = group_of(3)
    newcomer = person("late")
    made = groups[0].commit(random=RANDOM, now=NOW, add=[newcomer.key_package])
    assert made.welcome is not None
    late = Group.join(made.welcome, newcomer, now=NOW)
    groups = [made.group, *(group.receive(made.message, now=NOW)[0] for group in groups[1:]), late]
    for at in (1, 3, 2, 0):
        made = groups[at].commit(random=RANDOM, now=NOW)
        groups = [made.group if group is groups[at] else group.receive(made.message, now=NOW)[0] for group in groups]
        assert agree(groups)
