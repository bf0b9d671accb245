from __future__ import annotations

from typing import TYPE_CHECKING

from bench.mls_bytes import bytes_against_wrapping
from bench.mls_encrypt import encrypt_bytes
from bench.mls_rooms import LARGE, room

if TYPE_CHECKING:
    from pathlib import Path


def test_large_room_holds_its_members_after_one_update() -> None:
    assert len(room(LARGE).group.members) == LARGE
    assert room(LARGE).group.epoch == 2


def test_a_notice_has_the_same_bytes_for_all_sizes(tmp_path: Path) -> None:
    measured = encrypt_bytes(tmp_path)
    assert measured.ratio == 1.0
    assert len(set(measured.parts.values())) == 1


def test_what_others_are_compared_with_is_all_there(tmp_path: Path) -> None:
    measured = bytes_against_wrapping(tmp_path)
    assert measured.parts["notice_bytes"] < measured.parts["notice_and_update_bytes"]
    assert measured.ratio == measured.parts["notice_bytes"] / measured.parts["pyrage_bytes"]
