"""Security keys over USB, by python-fido2: a credential's making and its assertions, with touch and PIN.

The authenticator shows who made it (attestation `direct`), and verifies its holder: the service wants both.
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
    from fido2.hid import CtapHidDevice  # noqa: PLC0415 - only who has such a key needs it

    return CtapHidDevice.list_devices()


@dataclass(frozen=True, slots=True)
class FidoKeys:
    """Implements `SecurityKeys`; `ask_pin` asks for the key's PIN ("" for none), `tell` says that a touch is due."""

    ask_pin: Callable[[], str]
    tell: Callable[[str], None]
    devices: Callable[[], Iterable[CtapDevice]] = plugged_in

    def create(self, origin: str, name: str, challenge: bytes) -> dict[str, object]:
        """Make a credential, and return its RegistrationResponseJSON; `SecurityKeyError`."""
        with _told():
            from fido2 import webauthn  # noqa: PLC0415 - only who has such a key needs it

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
        """Have a credential assert a challenge, and return the AuthenticationResponseJSON; `SecurityKeyError`."""
        with _told():
            from fido2 import webauthn  # noqa: PLC0415 - only who has such a key needs it

            wanted = webauthn.PublicKeyCredentialDescriptor(
                type=webauthn.PublicKeyCredentialType.PUBLIC_KEY, id=base64url_decode(credential)
            )
            options = webauthn.PublicKeyCredentialRequestOptions(
                challenge=challenge,
                rp_id=_domain(origin),
                allow_credentials=[wanted],
                user_verification=webauthn.UserVerificationRequirement.REQUIRED,
                timeout=_TOUCH_MILLISECONDS,
            )
            return _json(self._client(origin).get_assertion(options).get_response(0))

    def _client(self, origin: str) -> Fido2Client:
        from fido2.client import DefaultClientDataCollector, Fido2Client  # noqa: PLC0415 - as above

        found = list(self.devices())
        if len(found) != 1:
            sentence = "More than one security key is plugged in." if found else "No security key is plugged in."
            raise SecurityKeyError(sentence, "Plug in the one that is to vouch for this device, and no other.")
        return Fido2Client(found[0], DefaultClientDataCollector(_origin(origin)), self._interaction())

    def _interaction(self) -> UserInteraction:
        from fido2.client import UserInteraction  # noqa: PLC0415 - as above

        keys = self

        class Person(UserInteraction):
            def prompt_up(self) -> None:
                keys.tell("Touch the security key.")

            def request_pin(self, permissions: object, rp_id: str | None) -> str | None:  # noqa: ARG002 - the library's form
                return keys.ask_pin() or None

        return Person()


@contextmanager
def _told() -> Iterator[None]:
    try:
        from fido2.client import ClientError  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        raise SecurityKeyError(
            "What speaks to security keys is not installed.",
            "Install python-fido2: `pip install -e '.[security-key]'` in keyturn's clone.",
        ) from None
    try:
        yield
    except ClientError as error:
        raise _meaning(error) from None
    except ValueError:  # what the key answers is not as the library knows it
        raise SecurityKeyError(*_UNKNOWN) from None
    except OSError:
        raise SecurityKeyError(
            "The security key can't be used.", "Does this user have a right to it? On Linux udev's rules say so."
        ) from None


def _meaning(error: ClientError) -> SecurityKeyError:
    from fido2.client import ClientError, PinRequiredError  # noqa: PLC0415 - as above
    from fido2.ctap import CtapError  # noqa: PLC0415 - as above

    cause = error.cause.code if isinstance(error.cause, CtapError) else None
    if isinstance(error, PinRequiredError):
        return SecurityKeyError("The security key wants its PIN.", "Run this at a terminal, and type it.")
    if cause in {CtapError.ERR.PIN_INVALID, CtapError.ERR.PIN_AUTH_INVALID}:
        return SecurityKeyError(
            "That is not the security key's PIN.", "After too many wrong ones the key locks itself."
        )
    if cause in {CtapError.ERR.PIN_BLOCKED, CtapError.ERR.PIN_AUTH_BLOCKED}:
        return SecurityKeyError(
            "The security key has locked itself.", "Plug it in anew; its maker says how to reset it."
        )
    return SecurityKeyError(*_BY_CODE.get(ClientError.ERR(error.code).name, _UNKNOWN))


_BY_CODE = {
    "TIMEOUT": ("The security key was not touched in time.", "Run it again, and touch it when asked."),
    "DEVICE_INELIGIBLE": ("This security key is not the one that was registered.", "Plug in the one that was."),
    "CONFIGURATION_UNSUPPORTED": ("The security key can't verify who holds it.", "Set a PIN on it first."),
    "BAD_REQUEST": (
        "A security key does not serve this address.",
        "It serves https:// addresses with a host name (and http://localhost): --url.",
    ),
}
_UNKNOWN = ("The security key refused.", "Plug it in anew, and try again.")


def _json(response: RegistrationResponse | AuthenticationResponse) -> dict[str, object]:
    plain: dict[str, object] = json.loads(json.dumps(dict(response)))
    return plain


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _domain(url: str) -> str:
    return urlsplit(url).hostname or ""
