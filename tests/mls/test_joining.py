"""Welcomes as an inviter with bad intentions, or a broken one, would make them."""

from dataclasses import replace

import pytest
from keyturn.mls import (
    ExpiredKeyPackage,
    Group,
    InvalidArgument,
    InvalidCommit,
    InvalidLeafNode,
    InvalidSignature,
    InvalidTag,
    InvalidTree,
    InvalidWelcome,
    MlsError,
    UnknownPsk,
    UnsupportedFeature,
)
from keyturn.mls.encoding import decode, uint16s
from keyturn.mls.extensions import EXTERNAL_SENDERS, RATCHET_TREE, REQUIRED_CAPABILITIES, Extension
from keyturn.mls.key_package import parse_key_package
from keyturn.mls.key_schedule import Joiner
from keyturn.mls.psk import BRANCH, EXTERNAL, RESUMPTION, PskId
from keyturn.mls.state import State
from keyturn.mls.welcome import GroupInfo, GroupSecrets, Welcome, parse_welcome

from tests.mls.people import DAY, NOW, RANDOM, founded, group_of, person

OWN = person("new")
MADE = founded().commit(random=RANDOM, now=NOW, add=[OWN.key_package, person("third").key_package])
STATE: State = MADE.group.state
PSK = PskId(EXTERNAL, 0, b"psk", 0, bytes(32))


def opened() -> tuple[GroupInfo, GroupSecrets]:
    """Open the honest Welcome."""
    assert MADE.welcome is not None
    welcome = parse_welcome(MADE.welcome)
    secrets = welcome.open(OWN)
    encoded = Joiner(secrets.joiner_secret).open_group_info(welcome.group_info)
    return decode(GroupInfo.read, encoded), secrets


INFO, SECRETS = opened()


def sealed(info: GroupInfo, secrets: GroupSecrets = SECRETS, psk: bytes | None = None) -> bytes:
    joiner = Joiner(secrets.joiner_secret) if psk is None else Joiner(secrets.joiner_secret, psk)
    group_info = joiner.seal_group_info(info.sign(STATE.seed))
    return Welcome.seal(group_info, [(parse_key_package(OWN.key_package), secrets)], RANDOM).message()


def refused(message: bytes, error: type[MlsError]) -> None:
    with pytest.raises(error):
        Group.join(message, OWN, now=NOW)


def test_an_honest_welcome_is_followed() -> None:
    group = Group.join(sealed(INFO), OWN, now=NOW)
    assert group.epoch_authenticator == MADE.group.epoch_authenticator


def test_external_commits_are_not_invited() -> None:
    assert [extension.kind for extension in INFO.extensions] == [RATCHET_TREE]


@pytest.mark.parametrize(
    "extension",
    [
        Extension(EXTERNAL_SENDERS, b"\x00"),
        Extension(0x1234, b""),
        Extension(REQUIRED_CAPABILITIES, uint16s((0x1234,)) + b"\x00\x00"),
        # One of our own GREASE values: listed in our leaf for others to ignore, and not supported (RFC 9420 §13.5).
        Extension(STATE.own_leaf.capabilities.extensions[-1], b""),
    ],
)
def test_a_group_that_we_do_not_support_is_not_joined(extension: Extension) -> None:
    refused(sealed(replace(INFO, context=replace(INFO.context, extensions=(extension,)))), UnsupportedFeature)
    with pytest.raises((InvalidLeafNode, UnsupportedFeature)):
        Group.create(b"group", OWN, random=RANDOM, now=NOW, extensions={extension.kind: extension.data})


def test_the_tree_may_come_apart() -> None:
    bare = sealed(replace(INFO, extensions=(Extension(0x0A0A, b"grease"),)))
    group = Group.join(bare, OWN, now=NOW, ratchet_tree=STATE.tree.encode())
    assert group.members == MADE.group.members
    refused(bare, InvalidWelcome)
    with pytest.raises(InvalidSignature):
        Group.join(bare, OWN, now=NOW, ratchet_tree=group_of(2)[0].state.tree.encode())


def test_a_welcome_without_path_secret_is_followed() -> None:
    group = Group.join(sealed(INFO, replace(SECRETS, path_secret=None)), OWN, now=NOW)
    assert set(group.state.key_pairs) == {2 * group.own_leaf_index}


def test_the_group_info_is_signed_by_a_member() -> None:
    refused(sealed(replace(INFO, signer=2)), InvalidSignature)
    refused(sealed(replace(INFO, signer=3)), InvalidWelcome)
    refused(sealed(replace(INFO, signer=99)), InvalidWelcome)


def test_a_welcome_is_not_signed_by_its_recipient() -> None:
    forged = replace(INFO, signer=1).sign(OWN.signature_seed)
    group_info = Joiner(SECRETS.joiner_secret).seal_group_info(forged)
    refused(Welcome.seal(group_info, [(parse_key_package(OWN.key_package), SECRETS)], RANDOM).message(), InvalidWelcome)


def test_tree_context_and_tag_have_to_hold() -> None:
    refused(sealed(replace(INFO, context=replace(INFO.context, tree_hash=bytes(32)))), InvalidTree)
    refused(sealed(replace(INFO, context=replace(INFO.context, epoch=9))), InvalidTag)
    refused(sealed(replace(INFO, confirmation_tag=bytes(32))), InvalidTag)
    with pytest.raises(InvalidTag, match=r"\(RFC 9420 §12\.4\.3\.1\)$"):
        Group.join(sealed(replace(INFO, confirmation_tag=b"")), OWN, now=NOW)
    refused(sealed(INFO, replace(SECRETS, path_secret=bytes(32))), InvalidCommit)


def test_our_leaf_is_in_the_tree() -> None:
    other = group_of(3)[0].state
    tree = Extension(RATCHET_TREE, other.tree.encode())
    info = replace(INFO, extensions=(tree,), context=other.context)
    joiner = Joiner(SECRETS.joiner_secret)
    group_info = joiner.seal_group_info(info.sign(other.seed))
    message = Welcome.seal(group_info, [(parse_key_package(OWN.key_package), SECRETS)], RANDOM).message()
    refused(message, InvalidWelcome)


def test_pre_shared_keys_have_to_be_given() -> None:
    refused(sealed(INFO, replace(SECRETS, psks=(PSK,))), UnknownPsk)
    refused(sealed(INFO, replace(SECRETS, psks=(PskId(RESUMPTION, BRANCH, b"old", 1, bytes(32)),))), UnknownPsk)


def test_other_suites_are_unsupported() -> None:
    assert MADE.welcome is not None
    refused(MADE.welcome[:4] + b"\x00\x02" + MADE.welcome[6:], UnsupportedFeature)
    refused(b"\x00\x02" + MADE.welcome[2:], UnsupportedFeature)


def test_founding_needs_a_valid_key_package_and_joining_a_moment() -> None:
    with pytest.raises(ExpiredKeyPackage):
        Group.create(b"group", OWN, random=RANDOM, now=NOW + 31 * DAY)
    with pytest.raises(InvalidArgument):
        Group.join(b"", OWN, now=NOW.replace(tzinfo=None))
