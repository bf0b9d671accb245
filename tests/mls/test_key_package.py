from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from keyturn.mls import (
    ExpiredKeyPackage,
    InvalidArgument,
    InvalidKeyPackage,
    InvalidLeafNode,
    InvalidSignature,
    InvalidState,
    KeyPackageSecrets,
    MalformedMessage,
    UnsupportedFeature,
    create_key_package,
    read_key_package,
)
from keyturn.mls.cipher_suite import sign_with_label, signature_public
from keyturn.mls.encoding import uint16, vector
from keyturn.mls.extensions import LAST_RESORT, Extension, encode_extensions
from keyturn.mls.hpke import KeyPair
from keyturn.mls.key_package import moment_of, parse_key_package, seconds
from keyturn.mls.leaf_node import first_leaf, next_leaf

from tests.mls.people import ANY_LIFETIME, DAY, LOW_ORDER, NOW, RANDOM, SENT, person

LIFETIME = seconds(NOW - DAY), seconds(NOW + 30 * DAY)


def signed(
    init: bytes, encryption: bytes, extensions: tuple[Extension, ...] = (), lifetime: tuple[int, int] = LIFETIME
) -> bytes:
    seed = RANDOM(32)
    leaf = first_leaf(b"someone", seed, encryption, lifetime, RANDOM)
    unsigned = uint16(1) + uint16(1) + vector(init) + leaf.encode() + encode_extensions(extensions)
    return unsigned + vector(sign_with_label(seed, "KeyPackageTBS", unsigned))


KEYS = KeyPair.generate(RANDOM).public, KeyPair.generate(RANDOM).public


@pytest.mark.parametrize("last_resort", [False, True])
def test_a_key_package_is_read_bare_and_wrapped(last_resort: bool) -> None:  # noqa: FBT001 - a parameter of the test
    own = person("name", last_resort=last_resort)
    view = read_key_package(own.message(), now=NOW)
    assert view == read_key_package(own.key_package, now=NOW)
    assert (view.identity, view.last_resort, view.data) == (b"name", last_resort, own.key_package)
    assert (view.not_before, view.not_after) == (NOW - DAY, NOW + 30 * DAY)
    assert view.reference == own.reference
    assert (view.init_key, view.encryption_key) == (own.init.public, own.encryption.public)
    assert view.signature_key == signature_public(own.signature_seed)
    assert parse_key_package(own.key_package).extensions == ((Extension(0x000A, b""),) if last_resort else ())


def test_a_key_package_is_no_last_resort_unless_asked_for() -> None:
    own = create_key_package(b"name", RANDOM(32), not_before=NOW, not_after=NOW + DAY, random=RANDOM)
    assert read_key_package(own.key_package, now=NOW).last_resort is False


@pytest.mark.parametrize("now", [NOW - DAY - timedelta(seconds=1), NOW + 30 * DAY + timedelta(seconds=1)])
def test_a_lifetime_holds_at_both_ends(now: datetime) -> None:
    own = person("name")
    for inside in (NOW - DAY, NOW + 30 * DAY):
        read_key_package(own.message(), now=inside)
    with pytest.raises(ExpiredKeyPackage):
        read_key_package(own.message(), now=now)


def test_a_lifetime_may_be_longer_than_time() -> None:
    package = signed(*KEYS, lifetime=(0, 2**64 - 1))
    view = read_key_package(package, now=NOW, lifetimes=ANY_LIFETIME)
    with pytest.raises(InvalidLeafNode):
        read_key_package(package, now=NOW)
    assert view.not_before == datetime(1970, 1, 1, tzinfo=UTC)
    assert view.not_after == datetime.max.replace(tzinfo=UTC)


def test_rules_of_validation() -> None:
    # Unknown extensions of a key package are ignored (RFC 9420 §13.4), an extension of ours has its form.
    for kind in (1, 0x1234, 0x0A0A):
        read_key_package(signed(*KEYS, extensions=(Extension(kind, b""),)), now=NOW)
    with pytest.raises(InvalidKeyPackage):
        read_key_package(signed(KEYS[0], KEYS[0]), now=NOW)
    with pytest.raises(InvalidKeyPackage):
        read_key_package(signed(*KEYS, extensions=(Extension(LAST_RESORT, b"x"),)), now=NOW)
    with pytest.raises(MalformedMessage):
        read_key_package(signed(KEYS[0][1:], KEYS[1]), now=NOW)
    with pytest.raises(MalformedMessage):
        read_key_package(signed(KEYS[0], KEYS[1][1:]), now=NOW)


@pytest.mark.parametrize("key", LOW_ORDER)
def test_a_newcomer_can_be_sealed_to(key: bytes) -> None:
    for keys in ((key, KEYS[1]), (KEYS[0], key)):
        with pytest.raises(MalformedMessage):
            read_key_package(signed(*keys), now=NOW)


def test_a_key_packages_leaf_is_made_for_it() -> None:
    seed = RANDOM(32)
    first = first_leaf(b"someone", seed, KEYS[1], (0, 2**64 - 1), RANDOM)
    leaf = next_leaf(first, seed, KEYS[1], (b"", 0), None)
    unsigned = uint16(1) + uint16(1) + vector(KEYS[0]) + leaf.encode() + encode_extensions(())
    with pytest.raises(InvalidLeafNode):
        read_key_package(unsigned + vector(sign_with_label(seed, "KeyPackageTBS", unsigned)), now=NOW)


def test_both_signatures_are_checked() -> None:
    package = parse_key_package(person("name").key_package)
    package.validate(SENT)
    with pytest.raises(InvalidSignature):
        replace(package, signature=bytes(64)).validate(SENT)
    with pytest.raises(InvalidSignature):
        replace(package, leaf=replace(package.leaf, signature=bytes(64))).validate(SENT)


@pytest.mark.parametrize("header", ["00020001", "00010002", "00010001000500010002"])
def test_other_versions_and_suites_are_unsupported(header: str) -> None:
    with pytest.raises(UnsupportedFeature):
        read_key_package(bytes.fromhex(header) + bytes(100), now=NOW)


def test_secrets_are_saved_and_not_shown() -> None:
    own = person("name")
    saved = own.to_bytes()
    assert KeyPackageSecrets.from_bytes(saved) == own
    for secret in (own.init.private, own.encryption.private, own.signature_seed):
        assert repr(secret) not in repr(own)
        assert secret in saved


def test_private_keys_belong_to_the_key_package() -> None:
    own, other = person("name"), person("other")
    keys = [own.init.private, own.encryption.private, own.signature_seed]
    assert KeyPackageSecrets.assemble(own.message(), *keys) == own
    for at, wrong in enumerate((other.init.private, other.encryption.private, other.signature_seed)):
        with pytest.raises(InvalidArgument):
            KeyPackageSecrets.assemble(own.key_package, *[*keys[:at], wrong, *keys[at + 1 :]])
    with pytest.raises(InvalidState):
        KeyPackageSecrets.from_bytes(replace(own, signature_seed=bytes(32)).to_bytes())


def test_moments_are_aware_and_whole() -> None:
    assert seconds(datetime(1970, 1, 1, 1, 0, 1, 999999, tzinfo=timezone(timedelta(hours=1)))) == 1
    assert seconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert moment_of(1) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    for moment in (datetime(2026, 1, 1), datetime(1969, 12, 31, tzinfo=UTC)):  # noqa: DTZ001 - naive on purpose
        with pytest.raises(InvalidArgument):
            seconds(moment)
