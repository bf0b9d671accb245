"""What can go wrong on an admin's device, each with a sentence on what to do next.

    DeviceError
    ├── ServerRefusedError          the server answered no; carries its error, reason and detail
    ├── UnreachableError            no answer, or none that is the suite's
    ├── InsecureAddressError        the address would send secrets in clear over a network
    ├── NoOperatorTokenError        this machine holds no operator token for that address
    ├── NotSignedInError            nobody is signed in, or the sign-in has ended
    ├── NoCodeError                 no one-time code came from whom it was asked of
    ├── SecurityKeyError            a security key is missing, locked or refuses
    ├── NotEnrolledError            the device is in no group (of the client)
    ├── AnotherServiceError         the service's key is not the one known since enrolment
    ├── UntrustedMessageError       the log holds something that the service did not sign for this group
    ├── MembershipError             a commit changes members, and the service did not make it
    ├── LostStepError               the log's next commit can't be followed from here
    ├── NoticeError                 the inbox does not hold what is asked for
    ├── DeliveryError               the secret could not be handed over where it was to go
    ├── EndedOtherwiseError         the rotation that was waited for ended, and was not promoted
    └── UsageError                  the command line asks for what can't be; exit code 2

`str()` is a constant of ours or the server's public sentence: nothing presented is in it.
"""

from __future__ import annotations


class DeviceError(Exception):
    """Something did not work; `str()` says what, `hint` what to do, `exit_code` is the command's."""

    exit_code = 1

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class ServerRefusedError(DeviceError):
    """The server refused: `error` and `reason` are its stable words (protocol.md §11), `status` is HTTP's."""

    def __init__(self, *, status: int, error: str, reason: str, detail: str, hint: str) -> None:
        super().__init__(detail, hint)
        self.status = status
        self.error = error
        self.reason = reason


class UnreachableError(DeviceError):
    """Nobody answered, or somebody else did."""


class InsecureAddressError(DeviceError):
    """Plain HTTP to another machine: codes and secrets would travel in clear."""


class NoOperatorTokenError(DeviceError):
    """There is no operator token for this address in the user's state folder."""


class NotSignedInError(DeviceError):
    """The home keeps no ID token, or one whose time is over."""


class NoCodeError(DeviceError):
    """A one-time code was asked for, and none came."""


class SecurityKeyError(DeviceError):
    """The security key can't be used: not there, not the right one, not verified, or it refused."""


class NotEnrolledError(DeviceError):
    """The device is in no group, or in none of the client's."""


class AnotherServiceError(DeviceError):
    """The service that answers is not the one that this device was enrolled with."""


class UntrustedMessageError(DeviceError):
    """The log holds what the service did not sign for this group."""


class MembershipError(DeviceError):
    """Somebody else than the service tried to change who is in the group."""


class LostStepError(DeviceError):
    """A commit can't be processed: this device and the group have parted."""


class NoticeError(DeviceError):
    """The inbox has no such notice, or its secret is gone already."""


class DeliveryError(DeviceError):
    """The secret could not be handed over; it stays in the inbox."""


class EndedOtherwiseError(DeviceError):
    """The rotation ended without a promotion."""


class UsageError(DeviceError):
    """The command line asks for what can't be."""

    exit_code = 2
