"""Keys in Cloud KMS, through Google's client against the stand-in: errors by class, damage, the breaker, versions."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from keyturn.adapters.document_values import utc_now
from keyturn.adapters.google_kms.keys import LAG_SECONDS, PUBLISHED_SECONDS, CloudKeyNames, CloudKeys
from keyturn.local.kms_names import KmsFault
from keyturn.ports.keys import KeyRefused, KeyUnavailable

from tests.adapters.google_kms.kms_scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Code = grpc.StatusCode
SECRET = b"data-that-nobody-may-see"
TAG = bytes(32)


@pytest.fixture
def kms(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, LAG_SECONDS) as opened:
        yield opened


def do(opened: Scene, act: str) -> object:
    """Do one thing that calls KMS once; what it needs to know it knows before."""
    keys = opened.keys
    acts: dict[str, Callable[[], object]] = {
        "MacSign": lambda: keys.mac.sign(keys.mac.current(), SECRET),
        "MacVerify": lambda: keys.mac.verify(keys.mac.current(), SECRET, TAG),
        "Encrypt": lambda: keys.sealer.seal(SECRET, b"about"),
        "AsymmetricSign": lambda: keys.signer.sign(keys.signer.current(), SECRET),
        "GetPublicKey": keys.signer.public_keys,
    }
    return acts[act]()


ACTS = ("MacSign", "MacVerify", "Encrypt", "AsymmetricSign", "GetPublicKey")
AGAIN = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.ABORTED, Code.CANCELLED, Code.UNKNOWN)
AT_ONCE = {
    Code.NOT_FOUND: KeyRefused,
    Code.FAILED_PRECONDITION: KeyRefused,
    Code.PERMISSION_DENIED: KeyUnavailable,
    Code.UNAUTHENTICATED: KeyUnavailable,
    Code.UNIMPLEMENTED: KeyUnavailable,
}


def know_versions(opened: Scene, act: str = "") -> None:
    opened.keys.mac.current(), opened.keys.enabled("sign")
    if act != "GetPublicKey":
        opened.keys.signer.current()
    opened.tap.calls.clear()


# --- errors by class -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*AGAIN, Code.RESOURCE_EXHAUSTED], ids=lambda code: code.name)
def test_what_may_work_in_a_moment_is_tried_again(kms: Scene, code: grpc.StatusCode) -> None:
    ref = kms.keys.mac.current()
    right = kms.keys.mac.sign(ref, SECRET)
    kms.tap.calls.clear()
    kms.tap.failures = [code, code]
    assert kms.keys.mac.sign(ref, SECRET) == right
    assert kms.tap.calls["MacSign"] == 3
    assert len(kms.time.slept) == 2


@pytest.mark.parametrize("code", AT_ONCE, ids=lambda code: code.name)
def test_what_will_not_change_is_said_at_once(kms: Scene, code: grpc.StatusCode) -> None:
    ref = kms.keys.mac.current()
    kms.tap.failures = [code]
    with pytest.raises(AT_ONCE[code]) as raised:
        kms.keys.mac.sign(ref, SECRET)
    assert kms.tap.calls["MacSign"] == 1
    assert kms.time.slept == []
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "keyRings" not in str(raised.value)


def test_quota_is_waited_for_longer_than_a_hiccup(kms: Scene) -> None:
    assert kms.retry_policy.quota_seconds >= 10 * kms.retry_policy.soon_seconds


def test_total_time_is_bounded_and_no_pause_passes_its_end(kms: Scene) -> None:
    def exhausted(_: object) -> None:
        kms.time.pass_by(3.0)
        raise KmsFault(Code.RESOURCE_EXHAUSTED)

    ref, started = kms.keys.mac.current(), kms.time.now
    kms.tap.bend_request = exhausted
    with pytest.raises(KeyUnavailable):
        kms.keys.mac.sign(ref, SECRET)
    assert kms.tap.calls["MacSign"] <= 3
    assert kms.time.now - started <= kms.retry_policy.total_seconds + 3.0


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    with scene(tmp_path) as opened:
        opened.stand_in.stop()
        with pytest.raises(KeyUnavailable):
            opened.keys.mac.current()


def test_sealing_key_without_an_enabled_primary_is_unavailable_not_refused(kms: Scene) -> None:
    kms.tap.failures = [Code.FAILED_PRECONDITION]
    with pytest.raises(KeyUnavailable):
        kms.keys.sealer.seal(b"plain", b"about")


def test_creating_a_version_is_never_tried_again(kms: Scene) -> None:
    kms.tap.failures = [Code.UNAVAILABLE]
    with pytest.raises(KeyUnavailable):
        kms.keys.add_version("mac")
    assert kms.tap.calls["CreateCryptoKeyVersion"] == 1
    assert len(kms.keys.enabled("mac")) == 1


# --- damage ----------------------------------------------------------------------------------------------------------

UNVERIFIED = {
    "MacSign": ("verified_data_crc32c",),
    "MacVerify": ("verified_data_crc32c", "verified_mac_crc32c"),
    "Encrypt": ("verified_plaintext_crc32c", "verified_additional_authenticated_data_crc32c"),
    "AsymmetricSign": ("verified_digest_crc32c",),
}
SENT = {
    "MacSign": ("data",),
    "MacVerify": ("data", "mac"),
    "Encrypt": ("plaintext", "additional_authenticated_data"),
}
ANSWERED = {"MacSign": "mac", "Encrypt": "ciphertext", "AsymmetricSign": "signature"}


def first_only(bend: Callable[[Any], object]) -> Callable[[Any], object]:
    """Bend the first message alone."""
    left = [bend]
    return lambda message: left.pop()(message) if left else None


def bent(field: str) -> Callable[[Any], object]:
    def bend(message: Any) -> None:  # noqa: ANN401 - any message with that field
        value = getattr(message, field)
        setattr(message, field, bytes([value[0] ^ 1]) + value[1:])

    return bend


def unset(field: str) -> Callable[[Any], object]:
    return lambda message: setattr(message, field, False)


def damages_on_the_way_back() -> Iterator[tuple[str, Callable[[Any], object]]]:
    for act, fields in UNVERIFIED.items():
        yield from ((act, unset(field)) for field in fields)
    yield from ((act, bent(field)) for act, field in ANSWERED.items())
    yield "MacVerify", lambda answer: setattr(answer, "success", not answer.success)
    yield "GetPublicKey", lambda answer: setattr(answer, "pem", answer.pem.replace("A", "B"))
    for act in ACTS:
        yield (
            act,
            lambda answer: setattr(answer, "name", f"{answer.name}0" if "cryptoKeys/seal" not in answer.name else ""),
        )


@pytest.mark.parametrize(("act", "bend"), [*damages_on_the_way_back()])
def test_damaged_answer_counts_as_none(kms: Scene, act: str, bend: Callable[[Any], object]) -> None:
    know_versions(kms, act)
    kms.tap.bend_response = first_only(bend)
    assert do(kms, act) is not None
    assert kms.tap.calls[act] == 2


@pytest.mark.parametrize(("act", "field"), [(act, field) for act, fields in SENT.items() for field in fields])
def test_damaged_request_is_sent_again(kms: Scene, act: str, field: str) -> None:
    know_versions(kms, act)
    kms.tap.bend_request = first_only(bent(field))
    assert do(kms, act) is not None
    assert kms.tap.calls[act] == 2


@pytest.mark.parametrize("act", ACTS)
def test_answers_that_stay_damaged_are_never_believed(kms: Scene, act: str) -> None:
    know_versions(kms, act)
    kms.tap.bend_response = lambda answer: setattr(answer, "name", "another")
    with pytest.raises(KeyUnavailable):
        do(kms, act)


@pytest.mark.parametrize("field", ["ciphertext", "additional_authenticated_data"])
def test_damage_of_sealed_bytes_on_their_way_is_no_refusal(kms: Scene, field: str) -> None:
    sealed = kms.keys.sealer.seal(b"plain", b"about")
    kms.tap.bend_request = first_only(bent(field))
    assert kms.keys.sealer.unseal(sealed, b"about") == b"plain"


def test_damaged_unwrapped_key_counts_as_no_answer(kms: Scene) -> None:
    sealed = kms.keys.sealer.seal(b"plain", b"about")
    kms.tap.bend_response = first_only(bent("plaintext"))
    assert kms.keys.sealer.unseal(sealed, b"about") == b"plain"


# --- the breaker -----------------------------------------------------------------------------------------------------


def opened_breaker(kms: Scene) -> str:
    ref = kms.keys.mac.current()
    kms.tap.failures = [Code.UNAVAILABLE] * kms.retry_policy.failures
    with pytest.raises(KeyUnavailable):
        kms.keys.mac.sign(ref, SECRET)
    kms.tap.calls.clear()
    return ref


def test_open_breaker_asks_nobody(kms: Scene) -> None:
    ref = opened_breaker(kms)
    for _ in range(3):
        with pytest.raises(KeyUnavailable):
            kms.keys.mac.sign(ref, SECRET)
    assert kms.tap.calls["MacSign"] == 0


def test_after_a_while_one_probe_closes_it(kms: Scene) -> None:
    ref = opened_breaker(kms)
    kms.time.pass_by(kms.retry_policy.open_seconds)
    assert len(kms.keys.mac.sign(ref, SECRET)) == 32
    assert len(kms.keys.mac.sign(ref, SECRET)) == 32
    assert kms.tap.calls["MacSign"] == 2


def test_failed_probe_opens_it_again(kms: Scene) -> None:
    ref = opened_breaker(kms)
    kms.time.pass_by(kms.retry_policy.open_seconds)
    kms.tap.failures = [Code.UNAVAILABLE]
    with pytest.raises(KeyUnavailable):
        kms.keys.mac.sign(ref, SECRET)
    assert kms.tap.calls["MacSign"] == 1


def test_refusals_never_open_it(kms: Scene) -> None:
    unknown = f"{kms.keys.mac.current().rpartition('/')[0]}/77"
    for _ in range(2 * kms.retry_policy.failures):
        with pytest.raises(KeyRefused):
            kms.keys.mac.sign(unknown, SECRET)
    assert len(kms.keys.mac.sign(kms.keys.mac.current(), SECRET)) == 32


# --- versions --------------------------------------------------------------------------------------------------------


def test_current_version_is_asked_for_once_in_a_while(kms: Scene) -> None:
    first = kms.keys.mac.current()
    kms.stand_in.keys.add_version("mac")  # somebody else's doing
    assert kms.keys.mac.current() == first
    assert kms.tap.calls["ListCryptoKeyVersions"] == 1
    kms.time.pass_by(LAG_SECONDS)
    assert kms.keys.mac.current() != first


def test_current_version_that_is_refused_is_asked_for_again(kms: Scene) -> None:
    first = kms.keys.mac.current()
    second = kms.stand_in.keys.add_version("mac")
    kms.stand_in.keys.disable("local/mac/1")
    with pytest.raises(KeyRefused):
        kms.keys.mac.sign(first, SECRET)
    assert kms.keys.mac.current().rpartition("/")[2] == second.rpartition("/")[2]


def test_ten_versions_are_newest_first_by_number(kms: Scene) -> None:
    for _ in range(10):
        kms.stand_in.keys.add_version("mac")
    numbers = [int(version.name.rpartition("/")[2]) for version in kms.keys.enabled("mac")]
    assert numbers == list(range(11, 0, -1))


def test_public_keys_are_fetched_once(kms: Scene) -> None:
    assert kms.keys.signer.public_keys() == kms.keys.signer.public_keys()
    assert kms.tap.calls["GetPublicKey"] == 1


@pytest.mark.parametrize("name", ["mac/1", "../1", "1?x", "01", "0", "", "1/2", "٣"])
def test_name_that_is_none_of_our_key_asks_nobody(kms: Scene, name: str) -> None:
    for ref in (f"{kms.stand_in.ring}/cryptoKeys/mac/cryptoKeyVersions/{name}", name):
        with pytest.raises(KeyRefused):
            kms.keys.mac.verify(ref, SECRET, TAG)
        with pytest.raises(KeyRefused):
            kms.keys.disable(ref)
    assert not kms.tap.calls


@pytest.mark.parametrize("size", [0, 64 * 1024, 300_000])
def test_sealing_any_size_sends_the_service_a_key_only(kms: Scene, size: int) -> None:
    sizes: list[int] = []
    kms.tap.bend_request = lambda request: sizes.append(len(getattr(request, "plaintext", b"")))
    plain = os.urandom(size)
    assert kms.keys.sealer.unseal(kms.keys.sealer.seal(plain, b"about"), b"about") == plain
    assert sizes == [32, 0]


def test_nothing_is_opened_before_first_use() -> None:
    keys = CloudKeys(CloudKeyNames("a", "b", "c"), os.urandom, emulator_host="nobody.invalid:1")
    assert "rpc" not in vars(keys)


def test_version_disabled_since_it_was_listed_is_not_published(kms: Scene) -> None:
    kms.stand_in.keys.add_version("sign")
    newest = kms.keys.enabled("sign")[0].name
    kms.stand_in.keys.disable("local/sign/2")
    (key,) = kms.keys.signer.public_keys()
    assert kms.keys.signer.current() == key.kid
    assert kms.keys.kid_of(newest) == ""


def made(kms: Scene, ages: Mapping[str, timedelta]) -> None:
    """Have the service say how old each version of the signing key is, by its number."""

    def bend(response: object) -> None:
        for version in getattr(response, "crypto_key_versions", ()):
            version.create_time = utc_now() - ages[version.name.rpartition("/")[2]]

    kms.tap.bend_response = bend


def test_signing_version_is_published_before_it_signs(kms: Scene) -> None:
    kms.stand_in.keys.add_version("sign")
    made(kms, {"1": timedelta(days=90), "2": timedelta(seconds=PUBLISHED_SECONDS - 30)})
    newest, oldest = (key.kid for key in kms.keys.signer.public_keys())
    assert kms.keys.signer.current() == oldest
    made(kms, {"1": timedelta(days=90), "2": timedelta(seconds=PUBLISHED_SECONDS + 1)})
    kms.time.pass_by(LAG_SECONDS)
    assert kms.keys.signer.current() == newest


def test_new_signing_version_signs_at_once_where_it_is_the_only_one(kms: Scene) -> None:
    kms.stand_in.keys.add_version("sign")
    made(kms, {"1": timedelta(days=90), "2": timedelta()})
    kms.stand_in.keys.disable("local/sign/1")
    assert [kms.keys.signer.current()] == [key.kid for key in kms.keys.signer.public_keys()]


def test_of_new_signing_versions_the_one_published_longest_signs(kms: Scene) -> None:
    kms.stand_in.keys.add_version("sign")
    made(kms, {"1": timedelta(seconds=20), "2": timedelta()})
    assert kms.keys.signer.current() == kms.keys.signer.public_keys()[1].kid


def test_a_signature_is_one_call_once_the_versions_are_known(kms: Scene) -> None:
    signer = kms.keys.signer
    assert len(signer.public_keys()) == 1
    kms.tap.calls.clear()
    for _ in range(3):
        signer.sign(signer.current(), b"data")
        signer.public_keys()
    assert dict(kms.tap.calls) == {"AsymmetricSign": 3}


def test_key_that_is_not_there_is_a_fault_of_the_deployment(kms: Scene) -> None:
    names = CloudKeyNames.of_ring(kms.stand_in.ring.replace("keyturn", "another"))
    keys = CloudKeys(names, os.urandom, emulator_host=kms.stand_in.host, retry_policy=kms.retry_policy)
    for attempt in (keys.mac.current, keys.signer.public_keys, lambda: keys.sealer.seal(b"", b"")):
        with pytest.raises(KeyUnavailable):
            attempt()
    keys.rpc.close()


def test_errors_and_values_show_nothing_that_was_sent(kms: Scene) -> None:
    ref = kms.keys.mac.current()
    kms.tap.failures = [Code.INTERNAL] * 100
    with pytest.raises(KeyUnavailable) as raised:
        kms.keys.mac.sign(ref, SECRET)
    assert SECRET.decode() not in repr(raised.value)
    assert SECRET.decode() not in repr(vars(kms.keys))


@pytest.mark.parametrize("module", ["google_kms.keys", "pubsub_bus"])
def test_importing_it_imports_no_vendor(module: str) -> None:
    vendors = {"grpc", "proto", "cryptography", "google.api_core", "google.auth", "google.protobuf"}
    program = f"import sys, keyturn.adapters.{module}; print({vendors} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)  # noqa: S603 - our own words
    assert told.stdout.strip() == "set()"
