import hashlib
import hmac
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.mls import (
    ApplicationReceived,
    CommitReceived,
    ExpiredKeyPackage,
    GenerationTooFar,
    Group,
    InvalidArgument,
    InvalidLeafNode,
    InvalidProposal,
    KeyPackageSecrets,
    MalformedMessage,
    Member,
    NotActive,
    NotForUs,
    OwnMessage,
    ProposalReceived,
    ReplayedMessage,
    WrongEpoch,
    WrongGroup,
    read_key_package,
)
from keyturn.mls.key_schedule import GroupContext

from tests.mls.people import DAY, NOW, RANDOM, agree, commit_by, deliver, founded, group_of, person

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_founder_is_alone_in_epoch_zero() -> None:
    group = founded("founder")
    assert (group.epoch, group.own_leaf_index, group.group_id, group.is_active) == (0, 0, b"group", True)
    assert [member.identity for member in group.members] == [b"founder"]
    assert len(group.tree_hash) == len(group.epoch_authenticator) == 32
    assert "state" not in repr(group)


def test_a_founder_starts_the_transcript() -> None:
    state = founded().state
    assert state.context == GroupContext(b"group", 0, state.tree.root_hash, b"", ())
    tag = hmac.digest(state.secrets.confirmation_key, b"", "sha256")
    assert state.interim_hash == hashlib.sha256(b"\x20" + tag).digest()
    assert Group.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


def test_a_lone_member_may_commit() -> None:
    group = founded().commit(random=RANDOM, now=NOW).group
    assert group.epoch == 1
    added = group.commit(random=RANDOM, now=NOW, add=[person("1").message()])
    assert added.welcome is not None


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 9])
def test_all_agree_after_commits_of_each(size: int) -> None:
    groups = group_of(size)
    assert agree(groups)
    for at in range(size):
        groups = commit_by(groups, at, public=bool(at % 2))
        assert agree(groups)
        assert len({group.export("label", b"context", 16) for group in groups}) == 1


def test_messages_reach_everybody_in_any_order() -> None:
    alice, bob, carol = group_of(3)
    alice, first = alice.encrypt(b"first", random=RANDOM)
    alice, second = alice.encrypt(b"second", random=RANDOM, authenticated_data=b"data", padding=9)
    for group in (bob, carol):
        after, event = group.receive(second, now=NOW)
        assert isinstance(event, ApplicationReceived)
        assert (event.plaintext, event.authenticated_data, event.epoch) == (b"second", b"data", 1)
        assert event.sender == alice.members[0]
        _, event = after.receive(first, now=NOW)
        assert isinstance(event, ApplicationReceived)
        assert event.plaintext == b"first"


def test_a_message_opens_once() -> None:
    alice, bob = group_of(2)
    _, message = alice.encrypt(b"once", random=RANDOM)
    bob, _ = bob.receive(message, now=NOW)
    for again in (bob, Group.from_bytes(bob.to_bytes())):
        with pytest.raises(ReplayedMessage):
            again.receive(message, now=NOW)


def test_a_jump_is_bounded() -> None:
    alice, bob = group_of(2)
    for _ in range(1001):
        alice, message = alice.encrypt(b"", random=RANDOM)
    _, further = alice.encrypt(b"", random=RANDOM)
    assert isinstance(bob.receive(message, now=NOW)[1], ApplicationReceived)
    with pytest.raises(GenerationTooFar):
        bob.receive(further, now=NOW)


@pytest.mark.parametrize("public", [False, True])
def test_our_own_message_is_not_taken_back(public: bool) -> None:  # noqa: FBT001 - a parameter of the test
    alice, _ = group_of(2)
    after, sent = alice.encrypt(b"mine", random=RANDOM)
    with pytest.raises(OwnMessage):
        after.receive(sent, now=NOW)
    made = alice.commit(random=RANDOM, now=NOW, public=public)
    with pytest.raises(OwnMessage):
        alice.receive(made.message, now=NOW)
    with pytest.raises(WrongEpoch):
        made.group.receive(made.message, now=NOW)


def test_a_saved_sender_opens_nothing_that_it_sent() -> None:
    alice, _ = group_of(2)
    after, _ = alice.encrypt(b"gone", random=RANDOM)
    used = alice.state.secret_tree.next(0, 1)[1]
    saved = after.to_bytes()
    assert used.key not in saved
    assert alice.state.secret_tree.ratchets[0, 1].secret not in saved
    assert alice.state.secret_tree.ratchets[0, 1].secret in alice.to_bytes()


def test_late_messages_open_in_three_past_epochs_for_ten_minutes() -> None:
    groups = group_of(3)
    late = []
    for _ in range(4):
        late.append(groups[0].encrypt(b"late", random=RANDOM)[1])
        groups = commit_by(groups, 1)
    bob = Group.from_bytes(groups[2].to_bytes())
    with pytest.raises(WrongEpoch) as refused:
        bob.receive(late[0], now=NOW)
    assert (refused.value.message_epoch, refused.value.group_epoch) == (1, 5)
    for message in late[1:]:
        after, event = bob.receive(message, now=NOW + timedelta(minutes=10))
        assert isinstance(event, ApplicationReceived)
        with pytest.raises(ReplayedMessage):
            after.receive(message, now=NOW)
        with pytest.raises(WrongEpoch):
            bob.receive(message, now=NOW + timedelta(minutes=10, seconds=1))
    assert bob.expire(NOW + DAY).state.past == ()


def test_each_past_epoch_goes_on_by_itself() -> None:
    groups, late = group_of(3), []
    for _ in range(3):
        groups[0], first = groups[0].encrypt(b"first", random=RANDOM)
        groups[0], second = groups[0].encrypt(b"second", random=RANDOM)
        late += [first, second]
        groups = commit_by(groups, 0)
    bob, epochs = groups[1], []
    for message in late:
        bob, event = bob.receive(message, now=NOW)
        epochs.append(event.epoch)
    assert epochs == [1, 1, 2, 2, 3, 3]
    with pytest.raises(OwnMessage):
        groups[0].receive(late[0], now=NOW)


@pytest.mark.parametrize("public", [False, True])
def test_messages_take_the_framing_that_was_asked_for(public: bool) -> None:  # noqa: FBT001 - a parameter of the test
    alice, _ = group_of(2)
    header = b"\x00\x01\x00\x01" if public else b"\x00\x01\x00\x02"
    for message in (
        alice.commit(random=RANDOM, now=NOW, public=public).message,
        alice.propose_update(random=RANDOM, now=NOW, public=public)[1],
    ):
        assert message.startswith(header)


def test_handshakes_of_past_epochs_are_refused() -> None:
    groups = group_of(3)
    stale = [groups[0].commit(random=RANDOM, now=NOW, public=public).message for public in (False, True)]
    groups = commit_by(groups, 1)
    for message in stale:
        with pytest.raises(WrongEpoch, match=r"\(RFC 9420 §12\.4\.2\)$") as refused:
            groups[2].receive(message, now=NOW)
        assert (refused.value.message_epoch, refused.value.group_epoch) == (1, 2)


def test_groups_do_not_mix() -> None:
    bob = group_of(2)[1]
    stranger = Group.create(b"other", person("0"), random=RANDOM, now=NOW)
    for message in (
        stranger.encrypt(b"", random=RANDOM)[1],
        stranger.commit(random=RANDOM, now=NOW, public=True).message,
    ):
        with pytest.raises(WrongGroup):
            bob.receive(message, now=NOW)


@pytest.mark.parametrize("public", [False, True])
def test_proposals_of_others_are_committed(public: bool) -> None:  # noqa: FBT001 - a parameter of the test
    groups, newcomer = group_of(4), person("new")
    groups[1], add = groups[1].propose_add(newcomer.message(), random=RANDOM, now=NOW, public=public)
    groups = deliver(groups, add, 1)
    groups[2], update = groups[2].propose_update(random=RANDOM, now=NOW, public=public)
    groups = deliver(groups, update, 2)
    groups[1], remove = groups[1].propose_remove(3, random=RANDOM, now=NOW, public=public)
    groups = [Group.from_bytes(group.to_bytes()) for group in deliver(groups, remove, 1)]
    made = groups[0].commit(random=RANDOM, now=NOW, public=public)
    events = [group.receive(made.message, now=NOW) for group in groups[1:]]
    for after, event in events[:2]:
        assert isinstance(event, CommitReceived)
        assert agree([made.group, after])
        assert event.added == (Member(3, b"new", *keys_of(newcomer)),)
        assert [member.leaf_index for member in event.removed] == [3]
        assert [member.leaf_index for member in event.updated] == [2]
        assert (event.committer.identity, event.self_removed, event.epoch) == (b"0", False, 2)
    assert isinstance(events[2][1], CommitReceived)
    assert events[2][1].self_removed
    assert made.welcome is not None
    assert agree([made.group, Group.join(made.welcome, newcomer, now=NOW)])


def keys_of(package: KeyPackageSecrets) -> tuple[bytes, bytes]:
    view = read_key_package(package.key_package, now=NOW)
    return view.signature_key, view.encryption_key


def test_proposals_are_told() -> None:
    bob, alice = group_of(2)
    newcomer = person("new")
    for (_, message), kind, identity, place in (
        (alice.propose_add(newcomer.message(), random=RANDOM, now=NOW), 1, b"new", 0),
        (alice.propose_update(random=RANDOM, now=NOW), 2, b"1", 1),
        (alice.propose_remove(0, random=RANDOM, now=NOW), 3, b"0", 0),
    ):
        after, event = bob.receive(message, now=NOW)
        assert isinstance(event, ProposalReceived)
        assert event.subject is not None
        assert (event.kind, event.subject.identity, event.subject.leaf_index) == (kind, identity, place)
        assert (event.sender.identity, event.epoch) == (b"1", 1)
        assert after.pending == (event.reference,)


def test_a_public_proposal_is_taken_once() -> None:
    alice, bob = group_of(2)
    alice, message = alice.propose_remove(1, random=RANDOM, now=NOW, public=True)
    with pytest.raises(InvalidProposal):
        alice.propose_remove(1, random=RANDOM, now=NOW, public=True)
    bob, _ = bob.receive(message, now=NOW)
    with pytest.raises(ReplayedMessage):
        bob.receive(message, now=NOW)


def test_proposals_that_exclude_each_other_do_not_block_a_commit() -> None:
    groups, newcomer = group_of(4), person("new")
    proposed: tuple[tuple[int, Callable[[Group], tuple[Group, bytes]]], ...] = (
        (1, lambda group: group.propose_update(random=RANDOM, now=NOW)),
        (1, lambda group: group.propose_update(random=RANDOM, now=NOW)),
        (2, lambda group: group.propose_remove(1, random=RANDOM, now=NOW)),
        (2, lambda group: group.propose_remove(0, random=RANDOM, now=NOW)),
        (2, lambda group: group.propose_add(newcomer.message(), random=RANDOM, now=NOW)),
        (3, lambda group: group.propose_add(newcomer.message(), random=RANDOM, now=NOW)),
    )
    for at, propose in proposed:
        groups[at], message = propose(groups[at])
        groups = deliver(groups, message, at)
    made = groups[0].commit(random=RANDOM, now=NOW)
    after, event = groups[3].receive(made.message, now=NOW)
    assert isinstance(event, CommitReceived)
    assert agree([made.group, after])
    assert [member.leaf_index for member in event.removed] == [1]
    assert [member.identity for member in event.added] == [b"new"]
    assert event.updated == ()


def test_pending_proposals_may_be_left_out() -> None:
    groups = group_of(3)
    groups[1], message = groups[1].propose_remove(2, random=RANDOM, now=NOW)
    groups = deliver(groups, message, 1)
    made = groups[0].commit(random=RANDOM, now=NOW, include_pending=False)
    assert len(made.group.members) == 3
    assert made.group.pending == ()


def test_the_removed_are_out() -> None:
    alice, bob, carol = group_of(3)
    made = alice.commit(random=RANDOM, now=NOW, remove=[1])
    carol, _ = carol.receive(made.message, now=NOW)
    out, event = bob.receive(made.message, now=NOW)
    assert isinstance(event, CommitReceived)
    assert event.self_removed
    assert not out.is_active
    with pytest.raises(WrongEpoch):
        bob.receive(carol.encrypt(b"secret", random=RANDOM)[1], now=NOW)
    restored = Group.from_bytes(out.to_bytes())
    assert restored.members == bob.members
    for operation in (
        lambda: restored.epoch_authenticator,
        lambda: restored.export("", b"", 1),
        lambda: restored.encrypt(b"", random=RANDOM),
        lambda: restored.receive(b"", now=NOW),
        lambda: restored.commit(random=RANDOM, now=NOW),
        lambda: restored.propose_update(random=RANDOM, now=NOW),
        lambda: restored.propose_remove(0, random=RANDOM, now=NOW),
    ):
        with pytest.raises(NotActive):
            operation()


def test_leaves_are_reused_and_the_tree_shrinks() -> None:
    groups = group_of(5)
    made = groups[0].commit(random=RANDOM, now=NOW, remove=[4, 1], public=True)
    groups = [made.group, *(groups[at].receive(made.message, now=NOW)[0] for at in (2, 3))]
    assert agree(groups)
    assert made.group.state.tree.leaf_count == 4
    newcomer = person("new")
    made = groups[1].commit(random=RANDOM, now=NOW, add=[newcomer.key_package])
    groups = [groups[0].receive(made.message, now=NOW)[0], made.group, groups[2].receive(made.message, now=NOW)[0]]
    assert made.welcome is not None
    groups.append(Group.join(made.welcome, newcomer, now=NOW))
    assert groups[3].own_leaf_index == 1
    assert agree(commit_by(groups, 3))


def test_a_replacement_in_one_commit() -> None:
    alice, bob = group_of(2)
    again = person("again")
    made = alice.commit(random=RANDOM, now=NOW, add=[again.key_package], remove=[1])
    assert [member.identity for member in made.group.members] == [b"0", b"again"]
    assert not bob.receive(made.message, now=NOW)[0].is_active


def test_what_cannot_be_committed() -> None:
    alice, _ = group_of(2)
    for remove in ([0], [7], [-1], [1, 1], [2**40]):
        with pytest.raises(InvalidProposal):
            alice.commit(random=RANDOM, now=NOW, remove=remove)
    newcomer = person("new")
    with pytest.raises(InvalidProposal):
        alice.commit(random=RANDOM, now=NOW, add=[newcomer.key_package, newcomer.key_package])
    with pytest.raises(ExpiredKeyPackage):
        alice.commit(random=RANDOM, now=NOW + 31 * DAY, add=[newcomer.key_package])
    with pytest.raises(MalformedMessage):
        alice.commit(random=RANDOM, now=NOW, add=[b"\x00\x01\x00\x01"])


def test_a_member_is_not_added_twice() -> None:
    alice = founded()
    newcomer = person("new")
    alice = alice.commit(random=RANDOM, now=NOW, add=[newcomer.key_package]).group
    with pytest.raises(InvalidLeafNode):
        alice.commit(random=RANDOM, now=NOW, add=[newcomer.key_package])


def test_a_welcome_is_for_whom_it_names() -> None:
    alice, newcomer = founded(), person("new")
    made = alice.commit(random=RANDOM, now=NOW, add=[newcomer.key_package])
    assert made.welcome is not None
    with pytest.raises(NotForUs):
        Group.join(made.welcome, person("stranger"), now=NOW)
    with pytest.raises(MalformedMessage):
        Group.join(made.message, newcomer, now=NOW)


def test_arguments_are_checked() -> None:
    alice, _ = group_of(2)
    with pytest.raises(InvalidArgument):
        alice.encrypt(b"", random=lambda size: bytes(size - 1))
    with pytest.raises(InvalidArgument):
        alice.encrypt(b"", random=RANDOM, padding=-1)
    with pytest.raises(InvalidArgument):
        alice.export("", b"", 8161)
    with pytest.raises(InvalidArgument):
        alice.expire(datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose


def test_other_messages_are_none_of_a_groups() -> None:
    alice, _ = group_of(2)
    with pytest.raises(MalformedMessage):
        alice.receive(person("new").message(), now=NOW)


def test_a_failure_changes_nothing() -> None:
    alice, bob = group_of(2)
    before = bob.to_bytes()
    message = bytearray(alice.encrypt(b"text", random=RANDOM)[1])
    message[-1] ^= 1
    with pytest.raises(Exception, match="RFC 9420") as refused:
        bob.receive(bytes(message), now=NOW)
    assert type(refused.value).__module__ == "keyturn.mls.errors"
    assert bob.to_bytes() == before
