"""What the log's reader sees of MLS messages without any key."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from keyturn import mls
from keyturn.adapters.mls.message_headers import read_head
from keyturn.ports.message_headers import UnreadableMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def group() -> mls.Group:
    own = mls.create_key_package(
        b"service", os.urandom(32), not_before=NOW, not_after=NOW + timedelta(days=1), random=os.urandom
    )
    return mls.Group.create(b"ops", own, random=os.urandom, now=NOW)


def test_head_of_a_commit_and_of_a_notice(group: mls.Group) -> None:
    made = group.commit(random=os.urandom, now=NOW)
    _, notice = made.group.encrypt(b"x", random=os.urandom)
    first, second = read_head(made.message), read_head(notice)
    assert (first.group_id, first.epoch, first.kind) == (b"ops", 0, "commit")
    assert (second.group_id, second.epoch, second.kind) == (b"ops", 1, "notice")
    assert len({first.ciphertext, second.ciphertext, first.sender_data, second.sender_data}) == 4


def test_same_message_has_the_same_digests(group: mls.Group) -> None:
    _, notice = group.encrypt(b"x", random=os.urandom)
    _, other = group.encrypt(b"x", random=os.urandom)
    assert read_head(notice) == read_head(notice)
    assert read_head(notice).ciphertext != read_head(other).ciphertext


def test_what_is_no_encrypted_message_is_unreadable(group: mls.Group) -> None:
    _, notice = group.encrypt(b"x", random=os.urandom)
    public = group.commit(random=os.urandom, now=NOW, public=True).message
    for data in (b"", b"\x00", notice[:-1], notice + b"\x00", public, b"\x00\x02" + notice[2:]):
        with pytest.raises(UnreadableMessage):
            read_head(data)
