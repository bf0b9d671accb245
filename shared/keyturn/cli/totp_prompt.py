"""One-time codes, as a person types them: six digits, each good once."""

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
    """Asks for codes, on the terminal or from standard input, a line each; none is taken twice in one run."""

    ask: Callable[[str], str] = ask
    given: set[str] = field(default_factory=set, repr=False)

    def __call__(self) -> str:
        """Return a code that was not given before; `NoCodeError` for an empty line or the end."""
        while True:
            code = self.ask(_QUESTION).replace(" ", "")
            if not code:
                raise NoCodeError("No code came.", "Type the six digits that your authenticator app shows.")
            if not _CODE.match(code):
                print_warning("A code is six digits.")
            elif code in self.given:
                print_warning("A code works once: wait for the next one, at most 30 s.")
            else:
                self.given.add(code)
                return code
