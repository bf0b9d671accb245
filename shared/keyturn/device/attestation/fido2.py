"""Security keys over USB, by python-fido2: creating a credential and asserting with it, with touch and PIN.

The service requires the manufacturer's attestation (`direct`) and user verification, so both are requested here.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyturn.device.core.errors import SecurityKeyError
from keyturn.domain.encodings import base64url_decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fido2.client import ClientError, Fido2Client, UserInteraction
    from fido2.ctap import CtapDevice
    from fido2.webauthn import AuthenticationResponse, RegistrationResponse

_TOUCH_MILLISECONDS = 60_000
_ES256, _EDDSA = -7, -8


def plugged_in() -> Iterable[CtapDevice]:
    """Return the keys at this machine's USB ports."""
    from fido2.hid import CtapHidDevice  # noqa: PLC0415 - only needed with a security key

    return CtapHidDevice.list_devices()


@dataclass(frozen=True, slots=True)
class FidoKeys:
    """Implements `SecurityKeys`. `ask_pin` asks for the key's PIN ("" for none), `notify` shows a message."""

    ask_pin: Callable[[], str]
    notify: Callable[[str], None]
    devices: Callable[[], Iterable[CtapDevice]] = plugged_in

    def create(self, origin: str, name: str, challenge: bytes) -> dict[str, object]:
        """Create a credential, and return its RegistrationResponseJSON; `SecurityKeyError`."""
        with _readable_errors():
            from fido2 import webauthn  # noqa: PLC0415 - only needed with a security key

            kind = webauthn.PublicKeyCredentialType.PUBLIC_KEY
            options = webauthn.PublicKeyCredentialCreationOptions(
                rp=webauthn.PublicKeyCredentialRpEntity(id=_domain(origin), name="keyturn"),
                user=webauthn.PublicKeyCredentialUserEntity(id=challenge, name=name, display_name=name),
                challenge=challenge,
                pub_key_cred_params=[
                    webauthn.PublicKeyCredentialParameters(type=kind, alg=algorithm) for algorithm in (_ES256, _EDDSA)
                ],
                authenticator_selection=webauthn.AuthenticatorSelectionCriteria(
                    user_verification=webauthn.UserVerificationRequirement.REQUIRED
                ),
                attestation=webauthn.AttestationConveyancePreference.DIRECT,
                timeout=_TOUCH_MILLISECONDS,
            )
            return _json(self._client(origin).make_credential(options))

    def get(self, origin: str, credential: str, challenge: bytes) -> dict[str, object]:
        """Have a credential sign a challenge, and return the AuthenticationResponseJSON; `SecurityKeyError`."""
        with _readable_errors():
            from fido2 import webauthn  # noqa: PLC0415 - only needed with a security key

            descriptor = webauthn.PublicKeyCredentialDescriptor(
                type=webauthn.PublicKeyCredentialType.PUBLIC_KEY, id=base64url_decode(credential)
            )
            options = webauthn.PublicKeyCredentialRequestOptions(
                challenge=challenge,
                rp_id=_domain(origin),
                allow_credentials=[descriptor],
                user_verification=webauthn.UserVerificationRequirement.REQUIRED,
                timeout=_TOUCH_MILLISECONDS,
            )
            return _json(self._client(origin).get_assertion(options).get_response(0))

    def _client(self, origin: str) -> Fido2Client:
        from fido2.client import DefaultClientDataCollector, Fido2Client  # noqa: PLC0415 - as above

        devices = list(self.devices())
        if len(devices) != 1:
            sentence = "More than one security key is plugged in." if devices else "No security key is plugged in."
            raise SecurityKeyError(sentence, "Plug in exactly one: the security key of this device.")
        return Fido2Client(devices[0], DefaultClientDataCollector(_origin(origin)), self._interaction())

    def _interaction(self) -> UserInteraction:
        from fido2.client import UserInteraction  # noqa: PLC0415 - as above

        keys = self

        class TouchAndPin(UserInteraction):
            def prompt_up(self) -> None:
                keys.notify("Touch the security key.")

            def request_pin(self, permissions: object, rp_id: str | None) -> str | None:  # noqa: ARG002 - the library's parameters
                return keys.ask_pin() or None

        return TouchAndPin()


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        from fido2.client import ClientError  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        raise SecurityKeyError(
            "Support for security keys is not installed.",
            "Install python-fido2: `pip install -e '.[security-key]'` in keyturn's clone.",
        ) from None
    try:
        yield
    except ClientError as error:
        raise _translate(error) from None
    except ValueError:  # the library does not understand the key's answer
        raise SecurityKeyError(*_UNKNOWN) from None
    except OSError:
        raise SecurityKeyError(
            "The security key can't be used.", "Check your rights on the device: on Linux, udev rules grant them."
        ) from None


def _translate(error: ClientError) -> SecurityKeyError:
    from fido2.client import ClientError, PinRequiredError  # noqa: PLC0415 - as above
    from fido2.ctap import CtapError  # noqa: PLC0415 - as above

    cause = error.cause.code if isinstance(error.cause, CtapError) else None
    if isinstance(error, PinRequiredError):
        return SecurityKeyError("The security key requires its PIN.", "Run this at a terminal, and type it.")
    if cause in {CtapError.ERR.PIN_INVALID, CtapError.ERR.PIN_AUTH_INVALID}:
        return SecurityKeyError(
            "The PIN of the security key is wrong.", "After too many wrong PINs the key locks itself."
        )
    if cause in {CtapError.ERR.PIN_BLOCKED, CtapError.ERR.PIN_AUTH_BLOCKED}:
        return SecurityKeyError(
            "The security key has locked itself.", "Plug it in again. Its manufacturer describes how to reset it."
        )
    return SecurityKeyError(*_BY_CODE.get(ClientError.ERR(error.code).name, _UNKNOWN))


_BY_CODE = {
    "TIMEOUT": ("The security key was not touched in time.", "Run the command again, and touch the key when asked."),
    "DEVICE_INELIGIBLE": ("This security key is not the registered one.", "Plug in the registered one."),
    "CONFIGURATION_UNSUPPORTED": ("The security key can't verify its user.", "Set a PIN on it first."),
    "BAD_REQUEST": (
        "A security key does not work with this address.",
        "It works with https:// addresses that have a host name, and with http://localhost: --url.",
    ),
}
_UNKNOWN = ("The security key refused.", "Plug it in again, and retry.")


def _json(response: RegistrationResponse | AuthenticationResponse) -> dict[str, object]:
    plain: dict[str, object] = json.loads(json.dumps(dict(response)))
    return plain


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _domain(url: str) -> str:
    return urlsplit(url).hostname or ""
