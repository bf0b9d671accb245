"""Every byte of everything that comes from outside, bent, cut and lengthened: nothing is taken in, nothing changes."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from keyturn.mls import (
    Group,
    InvalidState,
    KeyPackageSecrets,
    OwnMessage,
    ReplayedMessage,
    WrongEpoch,
    read_key_package,
)
from keyturn.mls.key_package import STATE_MAGIC
from keyturn.mls.saved import SeparatePart, pack, unpack
from keyturn.mls.state import MAGIC

from tests.mls.hostile import bent, flipped, received, taken, truncated
from tests.mls.people import NOW, RANDOM, agree, commit_by, deliver, founded, group_of, person


def lived() -> list[Group]:
    """Make a group with a past epoch and keys that were jumped over."""
    groups = commit_by(group_of(3), 2)
    groups[2], _ = groups[2].encrypt(b"jumped over", random=RANDOM)
    groups[2], text = groups[2].encrypt(b"text", random=RANDOM)
    return deliver(groups, text, 2)


def with_a_proposal(groups: list[Group]) -> list[Group]:
    groups = list(groups)
    groups[2], proposal = groups[2].propose_update(random=RANDOM, now=NOW)
    return deliver(groups, proposal, 2)


BEFORE_THE_PROPOSAL = lived()
ALICE, BOB, CAROL = with_a_proposal(BEFORE_THE_PROPOSAL)
SENT: dict[str, tuple[Group, bytes]] = {
    "application": BEFORE_THE_PROPOSAL[0].encrypt(b"text", random=RANDOM, authenticated_data=b"data", padding=5),
    "private proposal": ALICE.propose_update(random=RANDOM, now=NOW),
    "public proposal": ALICE.propose_update(random=RANDOM, now=NOW, public=True),
}
for name_of, is_public in (("private commit", False), ("public commit", True)):
    made = ALICE.commit(random=RANDOM, now=NOW, add=[person("new").key_package], public=is_public)
    SENT[name_of] = made.group, made.message
OWN = person("own")


def load_whole(data: bytes) -> Group:
    """Load a group with the parts that are read late: the tree, and the members of past epochs."""
    group = Group.from_bytes(data)
    assert group.members
    assert all(epoch.members for epoch in group.state.past)
    return group


each_message = pytest.mark.parametrize("name", SENT)


@each_message
def test_a_bent_message_is_refused(name: str) -> None:
    _, message = SENT[name]
    assert received(BOB, bent(message)) == []
    assert received(BOB, [message]) == [message]


@each_message
def test_a_message_is_taken_in_once(name: str) -> None:
    _, message = SENT[name]
    after, _ = BOB.receive(message, now=NOW)
    for group in (after, Group.from_bytes(after.to_bytes())):
        assert received(group, [message]) == []
        with pytest.raises(WrongEpoch if "commit" in name else ReplayedMessage):
            group.receive(message, now=NOW)


@each_message
def test_a_message_does_not_come_back_to_its_sender(name: str) -> None:
    after, message = SENT[name]
    for group in (ALICE, after):
        assert received(group, [message]) == []
        with pytest.raises(WrongEpoch if "commit" in name and group is after else OwnMessage):
            group.receive(message, now=NOW)


@each_message
def test_a_message_is_taken_in_by_its_own_group_only(name: str) -> None:
    _, message = SENT[name]
    # Same name, same epoch, same number of members: only the keys are others.
    twin = commit_by(group_of(3), 2)[1]
    other = commit_by(group_of(3), 1)[2]
    assert (twin.group_id, twin.epoch) == (BOB.group_id, BOB.epoch)
    stranger = Group.create(b"other", person("stranger"), random=RANDOM, now=NOW)
    for group in (twin, other, founded(), stranger):
        assert received(group, [message, message.replace(b"\x05group", b"\x05other")]) == []


@pytest.mark.parametrize("public", [False, True])
def test_a_message_is_taken_in_by_its_own_epoch_only(public: bool) -> None:  # noqa: FBT001 - a parameter of the test
    groups, sent = group_of(3), []
    for _ in range(3):
        sent.append(groups[0].commit(random=RANDOM, now=NOW, public=public).message)
        sent.append(groups[0].propose_update(random=RANDOM, now=NOW, public=public)[1])
        groups = commit_by(groups, 1)
    for message in sent:
        assert received(groups[2], relabelled(message)) == []


def relabelled(message: bytes) -> list[bytes]:
    """Say each of some epochs in the place of a message's own."""
    at = message.index(b"\x05group") + 6
    return [message[:at] + epoch.to_bytes(8, "big") + message[at + 8 :] for epoch in range(6)]


def test_an_old_text_does_not_pass_for_a_new_one() -> None:
    groups = group_of(2)
    _, old = groups[0].encrypt(b"old", random=RANDOM)
    groups = commit_by(groups, 0)
    wrong = [message for message in relabelled(old) if message != old]
    assert received(groups[1], wrong) == []
    assert received(groups[1], [old]) == [old]


@pytest.mark.parametrize("newcomers", [1, 2])
def test_a_bent_welcome_is_refused(newcomers: int) -> None:
    others = [person("other").key_package for _ in range(newcomers - 1)]
    welcome = ALICE.commit(random=RANDOM, now=NOW, add=[*others, OWN.key_package]).welcome
    assert welcome is not None
    joined = Group.join(welcome, OWN, now=NOW).to_bytes()
    left = taken(lambda data: Group.join(data, OWN, now=NOW), bent(welcome))
    # What is sealed to somebody else is not ours to check; it must not make a difference to us.
    assert all(Group.join(data, OWN, now=NOW).to_bytes() == joined for data in left)
    assert bool(left) == (newcomers > 1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_bent_key_package_is_refused(wrapped: bool) -> None:  # noqa: FBT001 - a parameter of the test
    own = person("own", last_resort=True)
    data = own.message() if wrapped else own.key_package
    assert taken(lambda data: read_key_package(data, now=NOW), bent(data)) == []
    before = ALICE.to_bytes()
    assert taken(lambda data: ALICE.commit(random=RANDOM, now=NOW, add=[data]), flipped(data, (0x01,))) == []
    assert taken(lambda data: ALICE.propose_add(data, random=RANDOM, now=NOW), truncated(data)) == []
    assert ALICE.to_bytes() == before


def test_a_bent_state_is_refused() -> None:
    assert taken(load_whole, bent(BOB.to_bytes())) == []
    assert agree([load_whole(BOB.to_bytes()), ALICE])
    for data in truncated(BOB.to_bytes()):
        with pytest.raises(InvalidState):
            load_whole(data)


def test_bent_secrets_of_a_key_package_are_refused() -> None:
    assert taken(KeyPackageSecrets.from_bytes, bent(OWN.to_bytes())) == []
    assert KeyPackageSecrets.from_bytes(OWN.to_bytes()) == OWN


@pytest.mark.parametrize(
    ("load", "magic", "saved"),
    [(load_whole, MAGIC, BOB.to_bytes()), (OWN.from_bytes, STATE_MAGIC, OWN.to_bytes())],
)
def test_a_state_bent_under_a_digest_that_holds_fails_typed(
    load: Callable[[bytes], object], magic: bytes, saved: bytes
) -> None:
    main, part = unpack(magic, saved)
    for changed in (*flipped(main, (0x01,)), *truncated(main)):
        # The digest is no seal: another secret may load. Contradictions do not.
        with suppress(InvalidState):
            load(pack(magic, changed, part))
    for changed in (*flipped(part.stored, (0x01,)), *truncated(part.stored)):
        with pytest.raises(InvalidState):
            load(pack(magic, main, SeparatePart.of(changed)))
