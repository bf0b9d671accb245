"""What a copy of the saved state opens, with every key at hand: what was said before and after, and what must not be.

    A saved state taken after a send opens nothing sent before; a message sent after the sender's path update is
    opened by no state of the sender from before it.

Each refusal stands beside a control, in which the same attack succeeds with the copy that does have the keys.
"""

from datetime import timedelta

import pytest
from keyturn.mls import CommitReceived, Group, WrongEpoch
from keyturn.mls.framing import AuthenticatedContent
from keyturn.mls.secret_tree import APPLICATION, HANDSHAKE
from keyturn.mls.update_path import PathSecrets

from tests.mls.dump import epochs_from, follow, keys_from, open_any, windows
from tests.mls.people import NOW, RANDOM, commit_by, deliver, group_of

ALICE, BOB, CAROL = group_of(3)


def said(opened: AuthenticatedContent | None) -> object:
    return None if opened is None else opened.content.body


def texts(group: Group, number: int) -> list[tuple[bytes, bytes, bytes]]:
    """Send some texts: before and after each, what the sender saved; and the message between."""
    sent = []
    for at in range(number):
        before = group.to_bytes()
        group, message = group.encrypt(b"text %d" % at, random=RANDOM)
        sent.append((before, message, group.to_bytes()))
    return sent


def test_a_state_saved_after_a_send_opens_nothing_sent_before() -> None:
    sent = texts(ALICE, 4)
    for last, (_, _, saved) in enumerate(sent):
        for at, (before, message, _) in enumerate(sent):
            assert said(open_any(before, message)) == b"text %d" % at
            assert said(open_any(saved, message)) == (None if at <= last else b"text %d" % at)


def test_nor_does_a_state_saved_in_a_later_epoch() -> None:
    sent = texts(ALICE, 3)
    groups = [Group.from_bytes(sent[-1][2]), BOB, CAROL]
    for committer in (1, 0, 2):
        groups = commit_by(groups, committer)
        saved = groups[0].to_bytes()
        assert [open_any(saved, message) for _, message, _ in sent] == [None] * 3
        # The past epoch is there to receive in: a member that did not receive yet still opens them.
        assert said(open_any(groups[2].to_bytes(), sent[0][1])) == b"text 0"


def test_handshakes_are_gone_as_well() -> None:
    after, proposal = ALICE.propose_update(random=RANDOM, now=NOW)
    assert open_any(ALICE.to_bytes(), proposal) is not None
    assert open_any(after.to_bytes(), proposal) is None
    made = after.commit(random=RANDOM, now=NOW)
    assert open_any(after.to_bytes(), made.message) is not None
    assert open_any(made.group.to_bytes(), made.message) is None


def test_what_was_received_is_gone_with_its_receipt() -> None:
    (_, first, _), (_, second, _), (_, third, _) = texts(ALICE, 3)
    before = BOB.to_bytes()
    jumped, _ = BOB.receive(third, now=NOW)
    caught_up, _ = jumped.receive(first, now=NOW)
    assert [said(open_any(before, message)) for message in (first, second, third)] == [b"text 0", b"text 1", b"text 2"]
    assert [said(open_any(jumped.to_bytes(), message)) for message in (first, second, third)] == [
        b"text 0",
        b"text 1",
        None,
    ]
    assert [open_any(caught_up.to_bytes(), message) for message in (first, third)] == [None, None]


@pytest.mark.parametrize("kind", [APPLICATION, HANDSHAKE])
def test_no_bytes_of_a_saved_state_lead_to_a_key_that_was_used(kind: int) -> None:
    oracle = ALICE.state.secret_tree
    used = [oracle.take(0, kind, generation)[1] for generation in range(2)]
    group = ALICE
    for _ in used:
        group = group.encrypt(b"", random=RANDOM)[0] if kind else group.propose_update(random=RANDOM, now=NOW)[0]
    saved = group.to_bytes()
    assert not [key for key in used if key.key in saved or key.nonce in saved]
    for generation, key in enumerate(used):
        assert key in derived(ALICE.to_bytes(), kind, generation)
        assert key not in derived(saved, kind, generation)
        # Who has not received them yet has the secret of a node: Bob of her leaf, Carol of the one above it.
        assert key in derived(BOB.to_bytes(), kind, generation)
        assert key in derived(CAROL.to_bytes(), kind, generation)


def derived(saved: bytes, kind: int, generation: int) -> set[object]:
    leaves = ALICE.state.tree.leaf_count
    return {key for secret in windows(saved) for key in keys_from(secret, 0, kind, generation, leaves)}


def updated() -> tuple[list[bytes], bytes, Group, list[Group], bytes]:
    """Let Alice live, update her path and speak: her states from before, the commit, she, the others, the message."""
    states = [ALICE, *(Group.from_bytes(saved) for _, _, saved in texts(ALICE, 2))]
    last = states[-1]
    states.append(last.propose_remove(2, random=RANDOM, now=NOW)[0])
    states.append(last.receive(BOB.encrypt(b"to Alice", random=RANDOM)[1], now=NOW)[0])
    made = last.commit(random=RANDOM, now=NOW, public=True)
    others = deliver([BOB, CAROL], made.message, -1)
    after, message = made.group.encrypt(b"after the update", random=RANDOM)
    return [state.to_bytes() for state in states], made.message, after, others, message


BEFORE, UPDATE, AFTER, OTHERS, NOTICE = updated()


def test_what_follows_the_senders_update_is_opened_by_none_of_its_states_from_before() -> None:
    for saved in BEFORE:
        assert open_any(saved, NOTICE) is None
        assert follow(saved, UPDATE) == []
        with pytest.raises(WrongEpoch):
            Group.from_bytes(saved).receive(NOTICE, now=NOW)
    assert open_any(AFTER.to_bytes(), NOTICE) is None


def test_nor_by_a_guess_from_their_bytes() -> None:
    wanted = AFTER.state.secrets.epoch_authenticator
    for saved in (BEFORE[0], BEFORE[-1]):
        assert wanted not in authenticators(saved)
    # Control: the commit secret, as Bob learns it at node 1 below the root 3, is all that was missing.
    commit_secret = PathSecrets.ascend(follow(BOB.to_bytes(), UPDATE)[0], [1, 3]).commit_secret
    assert wanted in authenticators(BEFORE[-1], commit_secret)


def authenticators(saved: bytes, more: bytes = b"") -> set[bytes]:
    return {secrets.epoch_authenticator for secrets in epochs_from(saved, AFTER, more)}


def test_control_without_an_update_a_state_from_before_opens_it() -> None:
    group, message = Group.from_bytes(BEFORE[-1]).encrypt(b"no update", random=RANDOM)
    assert {said(open_any(saved, message)) for saved in BEFORE} == {b"no update"}
    assert open_any(group.to_bytes(), message) is None


def test_control_the_state_of_a_recipient_from_before_opens_it() -> None:
    for group in (BOB, CAROL):
        assert follow(group.to_bytes(), UPDATE) != []
        followed, event = Group.from_bytes(group.to_bytes()).receive(UPDATE, now=NOW)
        assert isinstance(event, CommitReceived)
        assert said(open_any(followed.to_bytes(), NOTICE)) == b"after the update"
    assert [said(open_any(group.to_bytes(), NOTICE)) for group in OTHERS] == [b"after the update"] * 2


def test_control_anothers_update_does_not_lock_a_state_from_before_out() -> None:
    made = BOB.commit(random=RANDOM, now=NOW, public=True)
    assert follow(ALICE.to_bytes(), made.message) != []
    followed, _ = Group.from_bytes(ALICE.to_bytes()).receive(made.message, now=NOW)
    saved = followed.to_bytes()
    _, message = followed.encrypt(b"after another's update", random=RANDOM)
    assert said(open_any(saved, message)) == b"after another's update"


def test_three_epochs_are_kept_for_ten_minutes() -> None:
    groups, secrets = group_of(3), []
    for _ in range(5):
        state = groups[1].state
        # Alice is heard in each epoch; above Carol's leaf, node 5, nobody is.
        secrets.append([state.secrets.sender_data, state.secret_tree.nodes[5], state.secrets.init])
        groups = commit_by(groups, 0)
    saved = groups[1].to_bytes()
    for past, kept in zip(secrets, (False, False, True, True, True), strict=True):
        assert [secret in saved for secret in past] == [kept, kept, False]
    in_time, late = NOW + timedelta(minutes=10), NOW + timedelta(minutes=10, seconds=1)
    assert groups[1].expire(in_time).to_bytes() == saved
    _, message = groups[0].encrypt(b"text", random=RANDOM)
    for forgetful in (groups[1].expire(late), groups[1].receive(message, now=late)[0]):
        assert not [secret for past in secrets for secret in past if secret in forgetful.to_bytes()]
