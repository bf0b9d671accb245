"""One-time codes: six digits, each accepted once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.cli.output import ask, print_warning
from keyturn.device.core.errors import NoCodeError

if TYPE_CHECKING:
    from collections.abc import Callable

_CODE = re.compile(r"[0-9]{6}\Z")
_QUESTION = "Code of your authenticator app:"


@dataclass
class CodePrompt:
    """Asks for codes on the terminal, or reads them from standard input, one per line. No code is returned twice."""

    ask: Callable[[str], str] = ask
    used_codes: set[str] = field(default_factory=set, repr=False)

    def __call__(self) -> str:
        """Return a code that was not used before. Raises `NoCodeError` for an empty line or the end of the input."""
        while True:
            code = self.ask(_QUESTION).replace(" ", "")
            if not code:
                raise NoCodeError(
                    "A one-time code is required.", "Type the six digits that your authenticator app shows."
                )
            if not _CODE.match(code):
                print_warning("A code has six digits.")
            # The server refuses a used code and counts the failure (RFC 6238 §5.2), so it is not sent.
            elif code in self.used_codes:
                print_warning("Each code works once: wait for the next one, at most 30 s.")
            else:
                self.used_codes.add(code)
                return code
