"""One contract for every key service: MAC, sealer, signer."""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest
from joserfc.jwk import JWKRegistry
from jwt import PyJWK
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.ports.keys import KeyRefused, KeyUnavailable

from tests.adapters.google_kms.kms_scene import scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from keyturn.ports.keys import KeyRing, MacKey, Sealer, TokenSigner
    from keyturn.proofs.jwk import PublicKey

    from tests.adapters.google_kms.kms_scene import Scene


class LocalService:
    """The key file, and how a test turns its versions over."""

    def __init__(self, folder: Path) -> None:
        self.keys = LocalKeys.open_or_create(folder / "keys.json", os.urandom)
        self.mac: MacKey = self.keys.mac
        self.sealer: Sealer = self.keys.sealer
        self.signer: TokenSigner = self.keys.signer
        self.rs256_signer: TokenSigner = self.keys.rs256_signer

    @property
    def ring(self) -> KeyRing:
        return self.keys

    def add(self, purpose: str) -> str:
        name = self.keys.add_version(purpose)
        return self.keys.kid_of(name) or name

    def disable(self, name: str) -> None:
        self.keys.disable(version_name(self.keys, name))

    def sealing_version(self) -> str:
        return self.keys.current("seal").name


class CloudService:
    """The adapter of Cloud KMS, over Google's own client, against the stand-in."""

    def __init__(self, opened: Scene) -> None:
        self.keys = opened.stand_in.keys
        self.cloud = opened.keys
        self.ring: KeyRing = opened.keys
        self.mac: MacKey = opened.keys.mac
        self.sealer: Sealer = opened.keys.sealer
        self.signer: TokenSigner = opened.keys.signer
        self.rs256_signer: TokenSigner = opened.keys.rs256_signer

    def add(self, purpose: str) -> str:
        name = self.cloud.add_version(purpose)
        return self.cloud.kid_of(name) or name

    def disable(self, name: str) -> None:
        self.cloud.disable(version_name(self.cloud, name))

    def sealing_version(self) -> str:
        return self.cloud.enabled("seal")[0].name


def version_name(ring: KeyRing, name_or_kid: str) -> str:
    """Return the name of a version that is given by its name or, of a signing key, by its `kid`."""
    names = [version.name for purpose in ("sign", "sign_rs256") for version in ring.enabled(purpose)]
    return next((name for name in names if ring.kid_of(name) == name_or_kid), name_or_kid)


Service: TypeAlias = "LocalService | CloudService"


@contextmanager
def local_service(folder: Path) -> Iterator[Service]:
    yield LocalService(folder)


@contextmanager
def cloud_service(folder: Path) -> Iterator[Service]:
    with scene(folder) as opened:
        yield CloudService(opened)


SERVICES: dict[str, Callable[[Path], AbstractContextManager[Service]]] = {
    "local": local_service,
    "cloud": cloud_service,
}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with SERVICES[request.param](tmp_path) as opened:
        yield opened


def verifies(key: PublicKey, signature: bytes, data: bytes) -> bool:
    return PyJWK(key.jwk()).Algorithm.verify(data, PyJWK(key.jwk()).key, signature)


def test_tag_is_right_for_its_data_alone(service: Service) -> None:
    ref = service.mac.current()
    tag = service.mac.sign(ref, b"data")
    assert len(tag) == 32
    assert service.mac.verify(ref, b"data", tag)
    assert not service.mac.verify(ref, b"Data", tag)
    assert not service.mac.verify(ref, b"data", bytes([tag[0] ^ 1]) + tag[1:])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_tag_of_another_length_is_wrong(service: Service, length: int) -> None:
    ref = service.mac.current()
    tag = service.mac.sign(ref, b"data")
    assert not service.mac.verify(ref, b"data", (tag + b"\x00")[:length])


def test_new_mac_version_signs_and_the_old_one_still_verifies(service: Service) -> None:
    old = service.mac.current()
    tag = service.mac.sign(old, b"data")
    new = service.add("mac")
    assert service.mac.current() == new != old
    assert service.mac.verify(old, b"data", tag)
    assert not service.mac.verify(new, b"data", tag)
    assert service.mac.sign(old, b"data") == tag


def test_disabled_mac_version_neither_signs_nor_verifies(service: Service) -> None:
    old = service.mac.current()
    tag = service.mac.sign(old, b"data")
    service.add("mac")
    service.disable(old)
    with pytest.raises(KeyRefused):
        service.mac.sign(old, b"data")
    with pytest.raises(KeyRefused):
        service.mac.verify(old, b"data", tag)


@pytest.mark.parametrize("name", ["", "marker", "local/mac/99"])
def test_unknown_version_is_refused_without_naming_it(service: Service, name: str) -> None:
    for attempt in (service.mac.sign, service.signer.sign):
        with pytest.raises(KeyRefused) as refused:
            attempt(name, b"data")
        assert not name or name not in str(refused.value)


def test_key_of_one_purpose_serves_no_other(service: Service) -> None:
    with pytest.raises(KeyRefused):
        service.mac.sign(service.signer.current(), b"data")
    with pytest.raises(KeyRefused):
        service.signer.sign(service.mac.current(), b"data")


def test_no_key_is_current_when_all_are_disabled(service: Service) -> None:
    service.disable(service.mac.current())
    service.disable(service.sealing_version())
    service.disable(service.signer.current())
    for attempt in (service.mac.current, service.signer.current, lambda: service.sealer.seal(b"", b"")):
        with pytest.raises(KeyUnavailable):
            attempt()
    assert list(service.signer.public_keys()) == []


@pytest.mark.parametrize("plaintext", [b"", b"x", os.urandom(100_000)], ids=["empty", "byte", "long"])
def test_sealed_bytes_open_to_what_was_sealed(service: Service, plaintext: bytes) -> None:
    sealed = service.sealer.seal(plaintext, b"about")
    assert service.sealer.unseal(sealed, b"about") == plaintext
    assert len(plaintext) < 16 or plaintext not in sealed


def test_sealing_twice_gives_different_bytes(service: Service) -> None:
    assert service.sealer.seal(b"same", b"") != service.sealer.seal(b"same", b"")


@pytest.mark.parametrize("other", [b"", b"About", b"about ", b"\x00about"])
def test_other_associated_data_opens_nothing(service: Service, other: bytes) -> None:
    sealed = service.sealer.seal(b"plain", b"about")
    with pytest.raises(KeyRefused):
        service.sealer.unseal(sealed, other)


def test_any_changed_byte_opens_nothing(service: Service) -> None:
    sealed = service.sealer.seal(b"plain", b"about")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(KeyRefused):
            service.sealer.unseal(bytes(changed), b"about")


def test_any_shorter_or_longer_bytes_open_nothing(service: Service) -> None:
    sealed = service.sealer.seal(b"plain", b"about")
    for wrong in [*(sealed[:length] for length in range(len(sealed))), sealed + b"\x00", b"\x00" + sealed]:
        with pytest.raises(KeyRefused):
            service.sealer.unseal(wrong, b"about")


def test_name_does_not_slide_into_the_associated_data(service: Service) -> None:
    sealed = service.sealer.seal(b"plain", b"about")
    with pytest.raises(KeyRefused):
        service.sealer.unseal(sealed[:1] + bytes([sealed[1] + 1]) + sealed[2:], b"about")


def test_old_sealed_bytes_open_until_their_version_is_disabled(service: Service) -> None:
    old = service.sealing_version()
    sealed = service.sealer.seal(b"plain", b"about")
    service.add("seal")
    again = service.sealer.seal(b"plain", b"about")
    assert service.sealer.unseal(sealed, b"about") == b"plain"
    service.disable(old)
    assert service.sealer.unseal(again, b"about") == b"plain"
    with pytest.raises(KeyRefused):
        service.sealer.unseal(sealed, b"about")


def test_signature_is_r_and_s_and_verifies_under_the_named_key(service: Service) -> None:
    kid = service.signer.current()
    signature = service.signer.sign(kid, b"data")
    (key,) = service.signer.public_keys()
    assert (key.kid, len(signature)) == (kid, 64)
    assert verifies(key, signature, b"data")
    assert not verifies(key, signature, b"Data")


def test_rsa_signature_verifies_under_the_named_key(service: Service) -> None:
    kid = service.add("sign_rs256")
    signature = service.rs256_signer.sign(kid, b"data")
    (key,) = service.rs256_signer.public_keys()
    assert (service.rs256_signer.current(), key.kid, len(signature)) == (kid, kid, 256)
    assert verifies(key, signature, b"data")
    assert not verifies(key, signature, b"Data")
    assert (service.signer.algorithm, service.rs256_signer.algorithm, key.algorithm) == ("ES256", "RS256", "RS256")
    service.disable(kid)
    assert list(service.rs256_signer.public_keys()) == []
    with pytest.raises(KeyRefused):
        service.rs256_signer.sign(kid, b"data")
    with pytest.raises(KeyUnavailable):
        service.rs256_signer.current()


def test_kid_is_the_thumbprint_of_its_key(service: Service) -> None:
    service.add("sign_rs256")
    for signer in (service.signer, service.rs256_signer):
        (key,) = signer.public_keys()
        assert key.kid == JWKRegistry.import_key(dict(key.parameters)).thumbprint()
    names = [version.name for purpose in ("sign", "sign_rs256") for version in service.ring.enabled(purpose)]
    assert [service.ring.kid_of(name) for name in names] == [service.signer.current(), service.rs256_signer.current()]
    assert service.ring.kid_of(service.mac.current()) == ""


def test_public_keys_are_newest_first_and_without_the_disabled(service: Service) -> None:
    first = service.signer.current()
    second, third = service.add("sign"), service.add("sign")
    assert [key.kid for key in service.signer.public_keys()] == [third, second, first]
    assert service.signer.current() == third
    service.disable(second)
    assert [key.kid for key in service.signer.public_keys()] == [third, first]
    assert verifies(service.signer.public_keys()[1], service.signer.sign(first, b"data"), b"data")


def test_tag_is_hmac_sha_256(service: Service) -> None:
    secret = service.keys.current("mac").secret
    assert service.mac.sign(service.mac.current(), b"data") == hmac.new(secret, b"data", hashlib.sha256).digest()
