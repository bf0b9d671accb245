"""The stand-in for Cloud KMS: what a careless client would be told, paging, keys on disk."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import grpc
import pytest
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, MethodNotImplemented, NotFound
from google.cloud.kms_v1.services.key_management_service import KeyManagementServiceClient
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport
from google.cloud.kms_v1.types import resources, service
from keyturn.local.kms_emulator import RING, KmsEmulator
from keyturn.local.kms_operations import LARGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAC = f"{RING}/cryptoKeys/mac/cryptoKeyVersions/1"
SEAL = f"{RING}/cryptoKeys/seal"
SIGN = f"{RING}/cryptoKeys/sign/cryptoKeyVersions/1"
State = resources.CryptoKeyVersion.CryptoKeyVersionState


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[KmsEmulator]:
    with KmsEmulator(tmp_path / "kms.json") as started:
        yield started


@pytest.fixture
def client(stand_in: KmsEmulator) -> Iterator[KeyManagementServiceClient]:
    with grpc.insecure_channel(stand_in.host) as channel:
        yield KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))


def test_keys_are_on_disk_for_their_owner_alone_and_outlive_it(tmp_path: Path) -> None:
    path = tmp_path / "kms.json"
    first = KmsEmulator(path).keys.current("mac").secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KmsEmulator(path).keys.current("mac").secret == first


def test_checksum_that_nobody_sent_is_not_said_to_be_verified(client: KeyManagementServiceClient) -> None:
    answer = client.mac_sign(request=service.MacSignRequest(name=MAC, data=b"data"))
    assert not answer.verified_data_crc32c
    assert answer.name == MAC


def test_wrong_checksum_ends_the_call(client: KeyManagementServiceClient) -> None:
    with pytest.raises(InvalidArgument):
        client.mac_sign(request=service.MacSignRequest(name=MAC, data=b"data", data_crc32c=1))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"{RING}/cryptoKeys/mac/cryptoKeyVersions/2", NotFound),
        (MAC.replace("keyturn-local", "another"), NotFound),
        (SIGN, FailedPrecondition),
        ("mac", InvalidArgument),
        (MAC.rpartition("/cryptoKeyVersions")[0], InvalidArgument),
    ],
)
def test_name_that_is_no_version_of_a_mac_key(
    client: KeyManagementServiceClient, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.mac_sign(request=service.MacSignRequest(name=name, data=b"data"))


def test_encrypt_takes_at_most_its_limit(client: KeyManagementServiceClient) -> None:
    fits = service.EncryptRequest(name=SEAL, plaintext=bytes(LARGEST_BYTES))
    assert client.encrypt(request=fits).name == f"{SEAL}/cryptoKeyVersions/1"
    fits.additional_authenticated_data = b"x"
    with pytest.raises(InvalidArgument):
        client.encrypt(request=fits)


def test_digest_of_another_length_is_refused(client: KeyManagementServiceClient) -> None:
    with pytest.raises(InvalidArgument):
        client.asymmetric_sign(request=service.AsymmetricSignRequest(name=SIGN))


def test_versions_are_listed_a_page_at_a_time(client: KeyManagementServiceClient, stand_in: KmsEmulator) -> None:
    for _ in range(4):
        stand_in.keys.add_version("seal")
    stand_in.keys.disable("local/seal/2")
    listed = client.list_crypto_key_versions(request={"parent": SEAL, "page_size": 2})
    states = {version.name.rpartition("/")[2]: version.state for version in listed}
    assert states == {number: State.DISABLED if number == "2" else State.ENABLED for number in "12345"}


def test_primary_version_is_the_newest(client: KeyManagementServiceClient) -> None:
    created = client.create_crypto_key_version(request={"parent": SEAL})
    assert client.get_crypto_key(name=SEAL).primary.name == created.name
    with pytest.raises(MethodNotImplemented):
        client.update_crypto_key_primary_version(request={"name": SEAL, "crypto_key_version_id": "1"})


def test_nothing_but_the_state_can_be_changed(client: KeyManagementServiceClient) -> None:
    version = resources.CryptoKeyVersion(name=MAC, state=State.ENABLED)
    with pytest.raises(MethodNotImplemented):
        client.update_crypto_key_version(request={"crypto_key_version": version, "update_mask": {"paths": ["state"]}})
