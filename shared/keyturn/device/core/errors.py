"""The errors of an admin's device. Each has a sentence, and a hint on what to do next.

    DeviceError
    ├── ServerRefusedError          the server refused; carries its error, reason and detail
    ├── UnreachableError            no answer, or an answer that is not keyturn's
    ├── InsecureAddressError        the address would send secrets over a network in clear
    ├── NoOperatorTokenError        this machine has no operator token for that address
    ├── NotSignedInError            there is no sign-in, or it has expired
    ├── NoCodeError                 the user gave no one-time code
    ├── SecurityKeyError            a security key is missing or locked, or it refuses
    ├── NotEnrolledError            the device is in no group (of the client)
    ├── AnotherServiceError         the service's key is not the key that was learnt at enrolment
    ├── UntrustedMessageError       the log holds a message that the service did not sign for this group
    ├── MembershipError             a commit by another member than the service changes the members
    ├── OutOfSyncError              this device cannot process the next commit of the log
    ├── NoticeError                 the inbox does not hold that notice or its secret
    ├── DeliveryError               the secret could not be written to a file or passed to a program
    ├── NotPromotedError            the awaited rotation ended without a promotion
    └── UsageError                  invalid command line; exit code 2

`str()` is a constant of this package or the server's public sentence. It never quotes input.
"""

from __future__ import annotations


class DeviceError(Exception):
    """A failed operation: `str()` says what failed, `hint` what to do, `exit_code` is the command's exit code."""

    exit_code = 1

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class ServerRefusedError(DeviceError):
    """The server refused: `error` and `reason` are its stable codes (docs/protocol.md §11), `status` is HTTP's."""

    def __init__(self, *, status: int, error: str, reason: str, detail: str, hint: str) -> None:
        super().__init__(detail, hint)
        self.status = status
        self.error = error
        self.reason = reason


class UnreachableError(DeviceError):
    """The server did not answer, or something else than keyturn answered."""


class InsecureAddressError(DeviceError):
    """Plain HTTP to another machine: codes and secrets would travel in clear."""


class NoOperatorTokenError(DeviceError):
    """The user's state folder holds no operator token for this address."""


class NotSignedInError(DeviceError):
    """The home holds no ID token, or an expired one."""


class NoCodeError(DeviceError):
    """A one-time code is required, and the user gave none."""


class SecurityKeyError(DeviceError):
    """The security key can't be used: it is missing, the wrong one or not verified, or it refused."""


class NotEnrolledError(DeviceError):
    """The device is in no group, or in none of the client's groups."""


class AnotherServiceError(DeviceError):
    """The service that answers is not the one that this device was enrolled with."""


class UntrustedMessageError(DeviceError):
    """The log holds a message that the service did not sign for this group."""


class MembershipError(DeviceError):
    """A member other than the service tried to change the members of the group."""


class OutOfSyncError(DeviceError):
    """A commit can't be processed: the group has moved on to a state that this device can't reach."""


class NoticeError(DeviceError):
    """The inbox has no such notice, or its secret was deleted already."""


class DeliveryError(DeviceError):
    """The secret could not be delivered, and stays in the inbox."""


class NotPromotedError(DeviceError):
    """The rotation ended without a promotion."""


class UsageError(DeviceError):
    """The command line is invalid."""

    exit_code = 2
