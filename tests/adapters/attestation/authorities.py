"""Certificates that tests make: a root, an intermediate, and leaves with the extensions that makers put into them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime.now(UTC)  # what OpenSSL looks at cannot be told another time
YEAR = timedelta(days=365)
BEGINS = datetime(2020, 1, 1, tzinfo=UTC)
"""From when certificates are good: before any time that a test's own clock shows."""


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Authority:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def issue(
        self,
        common_name: str,
        public_key: ec.EllipticCurvePublicKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
        *,
        ends: datetime = NOW + YEAR,
    ) -> x509.Certificate:
        builder = _builder(common_name, self.certificate.subject, public_key, ends)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def intermediate(self, common_name: str = "Test CA 1", *, ends: datetime = NOW + YEAR) -> Authority:
        key = ec.generate_private_key(ec.SECP384R1())
        return Authority(self.issue(common_name, key.public_key(), _authority(key), ends=ends), key)


def root(common_name: str = "Test Root", *, ends: datetime = NOW + YEAR) -> Authority:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = _builder(common_name, name(common_name), key.public_key(), ends)
    for extension, critical in _authority(key):
        builder = builder.add_extension(extension, critical=critical)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def _authority(key: ec.EllipticCurvePrivateKey) -> list[tuple[x509.ExtensionType, bool]]:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True), (identifier, False)]


def _builder(
    common_name: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS)
        .not_valid_after(ends)
    )
