from dataclasses import replace
from datetime import timedelta

import pytest
from keyturn.mls import ApplicationReceived, Group, InvalidState, NewerStateVersion
from keyturn.mls.encoding import decode
from keyturn.mls.events import Member
from keyturn.mls.hpke import KeyPair
from keyturn.mls.past_epoch import EpochRoster, PastEpoch, keep
from keyturn.mls.ratchet_tree import RatchetTree
from keyturn.mls.state import MAGIC, State, load

from tests.mls.people import NOW, RANDOM, commit_by, deliver, founded, group_of, person


def lived() -> list[Group]:
    """Make a group with past epochs, pending proposals, skipped keys, unmerged leaves and blank places."""
    groups = commit_by(commit_by(group_of(5), 1), 4)
    made = groups[0].commit(
        random=RANDOM, now=NOW, remove=[3], add=[person("new").key_package, person("8").key_package]
    )
    groups = [made.group, *(groups[at].receive(made.message, now=NOW)[0] for at in (1, 2, 4))]
    for _ in range(3):
        groups[0], message = groups[0].encrypt(b"text", random=RANDOM)
    groups = deliver(groups, message, 0)
    groups[1], message = groups[1].propose_update(random=RANDOM, now=NOW, new_signature_seed=RANDOM(32))
    return deliver(groups, message, 1)


GROUPS = lived()
STATE: State = GROUPS[1].state
EMPTY = founded().state.tree


@pytest.mark.parametrize("group", GROUPS)
def test_a_state_comes_back_as_it_was(group: Group) -> None:
    restored = load(group.to_bytes())
    assert restored.to_bytes() == group.to_bytes()
    assert replace(restored, tree=group.state.tree, past=()) == replace(group.state, past=())
    assert [epoch.members for epoch in restored.past] == [epoch.members for epoch in group.state.past]
    assert len(restored.past) == 3


def test_a_restored_group_goes_on() -> None:
    groups = [Group.from_bytes(group.to_bytes()) for group in GROUPS]
    made = groups[3].commit(random=RANDOM, now=NOW)
    for group in groups[:3]:
        assert group.receive(made.message, now=NOW)[0].epoch_authenticator == made.group.epoch_authenticator


def test_contradictions_are_found() -> None:
    other = KeyPair.generate(RANDOM)
    blank = next(index for index in range(8) if STATE.tree.leaf(index) is None)
    for state in (
        replace(STATE, context=replace(STATE.context, tree_hash=bytes(32))),
        replace(STATE, seed=bytes(32)),
        replace(STATE, seed=bytes(31)),
        replace(STATE, own_index=0),
        replace(STATE, own_index=blank),
        replace(STATE, own_index=2**32 - 1),
        replace(STATE, key_pairs={**STATE.key_pairs, 2 * STATE.own_index: other}),
        replace(STATE, key_pairs={2 * blank: other}),
        replace(STATE, key_pairs={2**32 - 1: other}),
    ):
        with pytest.raises(InvalidState):
            assert load(state.to_bytes()).members


def test_the_tree_is_read_when_it_is_needed_and_its_damage_found_then() -> None:
    data = STATE.to_bytes()
    damaged = Group.from_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert damaged.epoch == STATE.context.epoch
    assert damaged.to_bytes() == damaged.state.to_bytes() != data
    for use in (lambda: damaged.members, lambda: damaged.commit(random=RANDOM, now=NOW)):
        with pytest.raises(InvalidState):
            use()
    with pytest.raises(AttributeError):
        _ = damaged.state.tree.absent  # type: ignore[attr-defined]


def test_sending_from_a_saved_state_reads_no_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = commit_by(GROUPS, 0)
    saved = groups[1].to_bytes()
    with monkeypatch.context() as patched:
        patched.delattr(RatchetTree, "read")
        after, message = Group.from_bytes(saved, now=NOW).encrypt(b"hello", random=RANDOM)
        stored = after.to_bytes()
    event = groups[2].receive(message, now=NOW)[1]
    assert isinstance(event, ApplicationReceived)
    assert event.plaintext == b"hello"
    assert Group.from_bytes(stored).members == groups[1].members
    assert [past.members for past in Group.from_bytes(stored).state.past] == [
        past.members for past in groups[1].state.past
    ]


def test_a_newer_version_is_refused() -> None:
    body = STATE.to_bytes()[len(MAGIC) + 2 :]
    with pytest.raises(NewerStateVersion):
        load(MAGIC + b"\x00\x03" + body)


def test_replaced_keys_are_not_in_the_next_state() -> None:
    before = group_of(3)
    after = commit_by(before, 0)[0].to_bytes()
    state = before[0].state
    gone = [pair.private for pair in state.key_pairs.values()]
    gone += [state.secrets.init, state.secrets.membership_key, state.secrets.epoch_authenticator]
    gone += [ratchet.secret for ratchet in state.secret_tree.ratchets.values()]
    assert not [secret for secret in gone if secret in after]
    assert [secret for secret in gone if secret in before[0].to_bytes()] == gone


def test_no_secret_is_shown() -> None:
    shown = repr(STATE) + repr(GROUPS[1])
    secrets = [STATE.seed, *(pair.private for pair in STATE.key_pairs.values())]
    secrets += [getattr(STATE.secrets, name) for name in STATE.secrets.__dataclass_fields__ if name != "encryption"]
    secrets += [epoch.sender_data for epoch in STATE.past] + [epoch.resumption_psk for epoch in STATE.past]
    assert not [secret for secret in secrets if repr(secret)[2:-1] in shown]


def test_past_members_are_saved_as_differences() -> None:
    epoch, tree = STATE.past[0], STATE.tree
    one, other = (Member(index, b"name", b"key", b"key") for index in (0, 1))
    for past in ({}, {0: one}, {0: other, 1: one}, {1: other}, dict(STATE.members)):
        encoded = replace(epoch, roster=EpochRoster(past)).encode(tree)
        restored = decode(lambda reader: PastEpoch.read(reader, tree), encoded)
        assert restored.members == past
        assert restored.encode(tree) == encoded
        assert decode(lambda reader: PastEpoch.read(reader, EMPTY), restored.encode(EMPTY)).members == past


def test_damaged_past_members_are_invalid_state() -> None:
    with pytest.raises(InvalidState):
        assert EpochRoster(None, b"\x01", STATE.tree).members


def test_past_epochs_run_out() -> None:
    old = tuple(replace(STATE.past[0], ended=ended) for ended in (0, 100, 200, 300))
    assert [epoch.ended for epoch in keep(old, 300)] == [100, 200, 300]
    assert [epoch.ended for epoch in keep(old, 700)] == [100, 200, 300]
    assert [epoch.ended for epoch in keep(old, 701)] == [200, 300]
    assert keep(old, 901) == ()
    # A clock that was set back must not keep them: more than a minute before their end, their age is unknown.
    assert [epoch.ended for epoch in keep(old, 240)] == [100, 200, 300]
    assert [epoch.ended for epoch in keep(old, 239)] == [0, 100, 200]
    assert keep(old[3:], 0) == ()
    assert Group(STATE).expire(NOW - timedelta(seconds=61)).state.past == ()
    late = NOW + timedelta(seconds=601)
    assert Group(STATE).expire(late).state.past == Group.from_bytes(STATE.to_bytes(), now=late).state.past == ()
    assert Group.from_bytes(STATE.to_bytes()).state.past


def test_a_past_epoch_cannot_send() -> None:
    assert all((STATE.own_index, kind) not in epoch.secret_tree.ratchets for epoch in STATE.past for kind in (0, 1))
