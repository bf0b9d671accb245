"""Resource names of the KMS emulator, and the key versions in a key file that they refer to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.adapters.key_file.file import KeyFile, LocalKey

_NAME = re.compile(
    r"(?P<ring>.+)/cryptoKeys/(?P<purpose>mac|seal|sign_rs256|sign)(?:/cryptoKeyVersions/(?P<number>[1-9][0-9]*))?"
)
_Code = grpc.StatusCode


class KmsFault(Exception):  # noqa: N818 - an error response of a service that works
    """A call that ends with a gRPC status."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code.name)
        self.code = code


class KmsNames:
    """The names in one key ring with the keys `mac`, `seal`, `sign` and `sign_rs256`."""

    def __init__(self, file: KeyFile, ring: str) -> None:
        self._file = file
        self._ring = ring

    def _parse(self, name: str) -> tuple[str, str | None]:
        match = _NAME.fullmatch(name)
        if match is None:
            raise KmsFault(_Code.INVALID_ARGUMENT)
        if match["ring"] != self._ring:
            raise KmsFault(_Code.NOT_FOUND)
        return match["purpose"], match["number"]

    def purpose(self, name: str, required: str | None = None) -> str:
        """Return the purpose of a key. `KmsFault` if the name is not a key's, or the purpose is not `required`."""
        purpose, number = self._parse(name)
        if number is not None or required not in {None, purpose}:
            raise KmsFault(_Code.INVALID_ARGUMENT)
        return purpose

    def find(self, name: str) -> LocalKey:
        """Return the version of that name. `KmsFault` if there is none."""
        purpose, number = self._parse(name)
        if number is None:
            raise KmsFault(_Code.INVALID_ARGUMENT)
        for key in self.versions(purpose):
            if number_of(key) == number:
                return key
        raise KmsFault(_Code.NOT_FOUND)

    def enabled(self, name: str, *purposes: str) -> LocalKey:
        """Return the enabled version of that name and of one of the purposes. `KmsFault` otherwise."""
        key = self.find(name)
        if key.purpose not in purposes or not key.enabled:
            raise KmsFault(_Code.FAILED_PRECONDITION)
        return key

    def primary(self, name: str) -> str:
        """Return the name of the version that a symmetric key encrypts with."""
        return self.name_of(self.newest(self.purpose(name, "seal")))

    def newest(self, purpose: str) -> LocalKey:
        """Return the newest version of a purpose."""
        return self.versions(purpose)[-1]

    def versions(self, purpose: str) -> Sequence[LocalKey]:
        """Return all versions of a purpose, oldest first."""
        return sorted((key for key in self._file.read() if key.purpose == purpose), key=lambda key: int(number_of(key)))

    def name_of(self, key: LocalKey) -> str:
        """Return the full name of a version."""
        return f"{self._ring}/cryptoKeys/{key.purpose}/cryptoKeyVersions/{number_of(key)}"


def number_of(key: LocalKey) -> str:
    """Return the number of a version, in digits."""
    return key.name.rpartition("/")[2]
