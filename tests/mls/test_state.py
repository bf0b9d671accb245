from dataclasses import replace
from datetime import timedelta

import pytest
from keyturn.mls import Group, InvalidState, NewerStateVersion
from keyturn.mls.cipher_suite import sha256
from keyturn.mls.encoding import decode
from keyturn.mls.events import Member
from keyturn.mls.hpke import KeyPair
from keyturn.mls.past_epoch import PastEpoch, keep
from keyturn.mls.state import MAGIC, State, load

from tests.mls.people import NOW, RANDOM, commit_by, deliver, group_of, person


def lived() -> list[Group]:
    """Make a group with past epochs, pending proposals, skipped keys, unmerged leaves and blank places."""
    groups = commit_by(commit_by(group_of(5), 1), 4)
    made = groups[0].commit(
        random=RANDOM, now=NOW, remove=[3], add=[person("new").key_package, person("8").key_package]
    )
    groups = [made.group, *(groups[at].receive(made.message, now=NOW)[0] for at in (1, 2, 4))]
    groups[1], message = groups[1].propose_update(random=RANDOM, now=NOW)
    groups = deliver(groups, message, 1)
    for _ in range(3):
        groups[0], message = groups[0].encrypt(b"text", random=RANDOM)
    return deliver(groups, message, 0)


GROUPS = lived()
STATE: State = GROUPS[1].state


@pytest.mark.parametrize("group", GROUPS)
def test_a_state_comes_back_as_it_was(group: Group) -> None:
    restored = load(group.to_bytes())
    assert restored.to_bytes() == group.to_bytes()
    assert replace(restored, tree=group.state.tree) == group.state
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
            load(state.to_bytes())


def test_a_newer_version_is_refused() -> None:
    body = STATE.to_bytes()[len(MAGIC) + 2 : -32]
    head = MAGIC + b"\x00\x02" + body
    with pytest.raises(NewerStateVersion):
        load(head + sha256(head))


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
    epoch = STATE.past[0]
    one, other = (Member(index, b"name", b"key", b"key") for index in (0, 1))
    for past in ({}, {0: one}, {0: other, 1: one}, {1: other}):
        for current in ({}, {0: one}, {0: one, 1: other}):
            changed = replace(epoch, members=past)
            encoded = changed.encode(current)
            assert decode(lambda reader, now=current: PastEpoch.read(reader, now), encoded) == changed  # type: ignore[misc]


def test_past_epochs_run_out() -> None:
    old = tuple(replace(STATE.past[0], ended=ended) for ended in (0, 100, 200, 300))
    assert [epoch.ended for epoch in keep(old, 300)] == [100, 200, 300]
    assert [epoch.ended for epoch in keep(old, 700)] == [100, 200, 300]
    assert [epoch.ended for epoch in keep(old, 701)] == [200, 300]
    assert keep(old, 901) == ()
    assert Group(STATE).expire(NOW + timedelta(seconds=601)).state.past == ()


def test_a_past_epoch_cannot_send() -> None:
    assert all((STATE.own_index, kind) not in epoch.secret_tree.ratchets for epoch in STATE.past for kind in (0, 1))
