"""Free text of people, such as reasons: bounded, and refused where it contains a secret.

Such a text is stored in clear, in the audit log and in several documents. A secret that was pasted into it by mistake
must not get there. Whether a word has the form of a secret needs no key and no hash, so the word is refused whether or
not it is a secret of this deployment. Imported secrets have no form of their own: `likely_secrets` names the words that
are tried against the hashes of the client concerned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import InvalidRequest
from keyturn.domain.secret_format import contains_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.domain.request_fields import Fields

MAX_REASON: Final = 512
"""The longest reason, in characters."""
MOST_LIKELY: Final = 2
"""How many words of a text are tried against imported hashes, which are slow by design."""
_SHORTEST_LIKELY: Final = 8
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_PUNCTUATION: Final = ".,;:!?\"'()[]{}<>`"


def checked_reason(text: str) -> str:
    """Return a reason of 1 to 512 characters. Raises `InvalidRequest`: `bad_reason` or `secret_in_text`."""
    # A lone surrogate is no character. It stands for a byte of a command line that is not UTF-8.
    if not text.strip() or len(text) > MAX_REASON or _SURROGATE.search(text):
        raise InvalidRequest("bad_reason", "A reason has 1 to 512 characters.")
    return checked_text(text)


def checked_text(text: str) -> str:
    """Return a text without a word in the form of a secret. Raises `InvalidRequest`: `secret_in_text`."""
    if contains_secret(text):
        raise secret_in_text()
    return text


def secret_in_text() -> InvalidRequest:
    """Return the refusal of a text that contains a secret."""
    return InvalidRequest("secret_in_text", "A text contains a secret, or a word in the form of one.")


def optional_reason(fields: Fields, name: str = "reason") -> str:
    """Return the reason in a field, empty if there is none. Raises as `checked_reason` does."""
    return "" if fields.values.get(name) is None else checked_reason(fields.text(name))


def likely_secrets(text: str) -> Sequence[str]:
    """Return the words that are most likely a secret in an unknown form: the longest ones, at most two."""
    words = {word.strip(_PUNCTUATION) for word in text.split()}
    return sorted((word for word in words if len(word) >= _SHORTEST_LIKELY), key=lambda word: (-len(word), word))[
        :MOST_LIKELY
    ]
