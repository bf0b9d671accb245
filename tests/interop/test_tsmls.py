"""Live interop with ts-mls: each scenario for both kinds of members in each role, in both framings."""

import pytest
from keyturn.mls import CommitReceived, MlsError, OwnMessage, ReplayedMessage, WrongEpoch, read_key_package

from tests.interop.driver import PeerRefused
from tests.interop.members import NOW, Member, Ours
from tests.interop.room import Room

pytestmark = pytest.mark.tier("node")
FRAMINGS = pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
COMMITTERS = pytest.mark.parametrize("committer", ["o", "t"], ids=["ours-commits", "theirs-commits"])
PROPOSERS = pytest.mark.parametrize("proposer", ["o", "t"], ids=["ours-proposes", "theirs-proposes"])
REFUSALS = (MlsError, PeerRefused)


def chat(room: Room) -> None:
    for sender in room.members:
        text = f"from {sender.name}".encode()
        assert set(room.deliver(sender.send(text), sender)) == {text}


@pytest.mark.parametrize("kinds", ["ot", "ottt", "to", "tooo", "otot", "toto", "oggg", "goog"])
def test_all_join_by_one_welcome_and_hear_each_other(room: Room, kinds: str) -> None:
    room.gather(kinds)
    assert room.agree().epoch == 1
    chat(room)


def test_their_key_packages_are_read_wrapped_and_bare(room: Room) -> None:
    wrapped = room.invite("g").key_package()
    bare = read_key_package(wrapped, now=NOW).data
    assert wrapped.endswith(bare)
    assert len(bare) == len(wrapped) - 4
    assert read_key_package(bare, now=NOW).identity == b"g1"


def test_a_bare_key_package_of_theirs_is_added(room: Room) -> None:
    room.gather("ot")
    ours, newcomer = room.members[0], room.invite("t")
    bare = read_key_package(newcomer.key_package(), now=NOW).data
    room.follow(ours, ours.commit(add=[bare]), [newcomer])
    assert room.agree().epoch == 2


def test_a_notice_is_read_and_acknowledged(room: Room) -> None:
    room.gather("ottt")
    service, *devices = room.members
    room.commit(service)
    notice = service.send(b"a new credential waits")
    acknowledgements = []
    for device in devices:
        assert device.receive(notice) == b"a new credential waits"
        acknowledgements.append(device.send(f"ack of {device.name}".encode()))
    assert service.receive(acknowledgements.pop()) == b"ack of t4"
    room.commit(service)
    assert [service.receive(late) for late in acknowledgements] == [b"ack of t2", b"ack of t3"]


@COMMITTERS
@FRAMINGS
def test_an_update_is_followed(room: Room, committer: str, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("otot")
    for member in room.of_kind(committer):
        room.commit(member, public=public)
    assert room.agree().epoch == 3
    chat(room)


@COMMITTERS
@FRAMINGS
@pytest.mark.parametrize("newcomers", ["o", "t", "g", "ot"])
def test_later_adds(room: Room, committer: str, public: bool, newcomers: str) -> None:  # noqa: FBT001 - a parameter
    room.gather("ot")
    member = room.of_kind(committer)[0]
    room.commit(member, newcomers=[room.invite(kind) for kind in newcomers], public=public)
    room.commit(room.members[-1])
    chat(room)


@COMMITTERS
@FRAMINGS
@pytest.mark.parametrize("leaver", ["o", "t"])
def test_a_removal(room: Room, committer: str, public: bool, leaver: str) -> None:  # noqa: FBT001 - a parameter
    room.gather("ototot")
    member, gone = room.of_kind(committer)[0], room.of_kind(leaver)[-1]
    room.commit(member, leavers=[gone], public=public)
    message = member.send(b"not for the one who left")
    with pytest.raises(REFUSALS):
        gone.receive(message)
    with pytest.raises(REFUSALS):
        gone.send(b"from outside")
    chat(room)


@FRAMINGS
def test_a_commit_of_theirs_is_told_as_it_was(room: Room, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("ottt")
    service, committer, proposer, gone = room.members
    assert isinstance(service, Ours)
    room.deliver(proposer.propose_update(public=public), proposer)
    made = committer.commit(add=[room.invite("t").key_package()], remove=[room.leaf_of(gone)], public=public)
    _, event = service.group.receive(made.message, now=NOW)
    assert isinstance(event, CommitReceived)
    assert (event.committer.identity, event.epoch, event.self_removed) == (b"t2", 2, False)
    assert [member.identity for member in event.added] == [b"t5"]
    assert [member.identity for member in event.removed] == [b"t4"]
    assert [member.identity for member in event.updated] == [b"t3"]


@COMMITTERS
def test_ours_joins_among_unmerged_leaves(room: Room, committer: str) -> None:
    room.gather("otttttt")
    room.commit(room.members[4])  # fills the node above leaves 4 to 7, of which the last is blank
    newcomer = Ours("newcomer")
    room.commit(room.of_kind(committer)[0], newcomers=[newcomer])
    assert any(node.unmerged == (7,) for _, node in newcomer.group.state.tree.parents())
    for member in (room.members[5], newcomer, room.members[1]):
        room.commit(member)
    chat(room)


@COMMITTERS
def test_a_blank_leaf_is_taken_again(room: Room, committer: str) -> None:
    room.gather("otot")
    member = room.of_kind(committer)[0]
    gone = room.of_kind("t")[-1]
    place = room.leaf_of(gone)
    room.commit(member, leavers=[gone])
    newcomer = room.invite("o")
    room.commit(member, newcomers=[newcomer])
    assert room.leaf_of(newcomer) == place
    chat(room)


def two(room: Room, proposer: str, committer: str) -> tuple[Member, Member]:
    """Pick two different members of the kinds, the first and the last."""
    return room.of_kind(proposer)[0], room.of_kind(committer)[-1]


@PROPOSERS
@COMMITTERS
@FRAMINGS
def test_an_add_by_reference(room: Room, proposer: str, committer: str, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("otot")
    one, other = two(room, proposer, committer)
    newcomer = room.invite("t")
    room.deliver(one.propose_add(newcomer.key_package(), public=public), one)
    room.follow(other, other.commit(public=public), [newcomer])
    chat(room)


@PROPOSERS
@COMMITTERS
@FRAMINGS
def test_a_removal_by_reference(room: Room, proposer: str, committer: str, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("otottt")
    one, other = two(room, proposer, committer)
    gone = room.of_kind("t")[1]
    room.deliver(one.propose_remove(room.leaf_of(gone), public=public), one)
    room.follow(other, other.commit(public=public), leavers=[gone])
    chat(room)


@PROPOSERS
@COMMITTERS
@FRAMINGS
def test_an_update_by_reference(room: Room, proposer: str, committer: str, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("otot")
    one, other = two(room, proposer, committer)
    room.deliver(one.propose_update(public=public), one)
    room.follow(other, other.commit(public=public))
    for member in (one, other):
        room.commit(member)
    chat(room)


@PROPOSERS
@COMMITTERS
def test_a_member_proposes_to_leave(room: Room, proposer: str, committer: str) -> None:
    room.gather("otot")
    leaver, other = two(room, proposer, committer)
    room.deliver(leaver.propose_remove(room.leaf_of(leaver), public=False), leaver)
    room.follow(other, other.commit(), leavers=[leaver])
    chat(room)


@COMMITTERS
@FRAMINGS
def test_everything_in_one_commit(room: Room, committer: str, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("otototot")
    # Its leaf is taken again by the same commit; a ts-mls member in its place would not notice that it was removed.
    *ours, gone = room.of_kind("o")
    theirs = room.of_kind("t")
    member = room.of_kind(committer)[0]
    newcomers = [room.invite("o"), room.invite("t")]
    for one in (ours[1], theirs[1]):
        room.deliver(one.propose_update(public=public), one)
    room.deliver(theirs[2].propose_add(newcomers[0].key_package(), public=not public), theirs[2])
    made = member.commit(add=[newcomers[1].key_package()], remove=[room.leaf_of(gone)], public=public)
    room.follow(member, made, newcomers, [gone])
    chat(room)


@pytest.mark.parametrize(("sender", "receiver"), [("o", "t"), ("t", "o")], ids=["ours-to-theirs", "theirs-to-ours"])
def test_messages_out_of_order_and_late(room: Room, sender: str, receiver: str) -> None:
    room.gather("otot")
    one, other = room.of_kind(sender)[0], room.of_kind(receiver)[0]
    texts = [f"message {number}".encode() for number in range(6)]
    messages = [one.send(text) for text in texts]
    for number in (3, 0, 4):
        assert other.receive(messages[number]) == texts[number]
    for member in (one, other, room.members[-1]):
        room.commit(member)
    for number in (5, 1, 2):
        assert other.receive(messages[number]) == texts[number]
    assert other.receive(one.send(b"")) == b""


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
def test_what_ours_refuses_of_theirs(room: Room, public: bool) -> None:  # noqa: FBT001 - a parameter
    room.gather("ot")
    ours, theirs = room.members
    message = theirs.send(b"once")
    assert ours.receive(message) == b"once"
    with pytest.raises(ReplayedMessage):
        ours.receive(message)
    made = theirs.commit(public=public)
    with pytest.raises(MlsError):
        ours.receive(made.message[:-1] + bytes([made.message[-1] ^ 1]))
    room.follow(theirs, made)
    with pytest.raises(WrongEpoch):
        ours.receive(made.message)
    with pytest.raises(OwnMessage):
        ours.receive(ours.send(b"our own"))


def test_each_catches_up_with_many_epochs_of_the_other(room: Room) -> None:
    room.gather("ottto")
    for number in range(12):
        room.commit(room.members[number % 5], public=number % 3 == 0)
    assert room.agree().epoch == 13
    chat(room)
