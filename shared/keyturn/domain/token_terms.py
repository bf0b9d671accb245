"""Terms of a client's access tokens: for whom they are, for what, and about whose tokens the client may ask itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from keyturn.domain.errors import InvalidRequest

MOST_NAMES: Final = 32
"""How many scopes, and how many audiences to ask about, a client may have."""
_AUDIENCE = re.compile(r"[!-~]{1,256}\Z")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,64}\Z")  # RFC 6749 §3.3: scope-token


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """What one client's tokens say, and whose it may introspect; `audience` None stands for the deployment's.

    All of it takes effect when it changes: a token that says more than its client's terms do is dead.
    """

    audience: str | None = None
    scopes: tuple[str, ...] = ()
    """What a token may be for (RFC 6749 §3.3); one that is asked for without a scope is for all of it."""
    introspects: tuple[str, ...] = ()
    """The audiences that this client is a resource server for: it may ask about their tokens (RFC 7662), no others."""

    def checked(self) -> TokenTerms:
        """Return these terms; `InvalidRequest` if a name can't be one, comes twice, or there are too many."""
        audiences = [*self.introspects, *([] if self.audience is None else [self.audience])]
        if not all(map(_AUDIENCE.match, audiences)) or not all(map(_SCOPE.match, self.scopes)):
            raise InvalidRequest("bad_token_terms", "An audience or a scope has characters or a length that none has.")
        for names in (self.scopes, self.introspects):
            if len(set(names)) != len(names) or len(names) > MOST_NAMES:
                raise InvalidRequest("bad_token_terms", "Scopes and audiences are named once each, 32 at most.")
        return self

    def granted(self, asked: str) -> tuple[str, ...] | None:
        """Return the scopes of a token that is asked for with this `scope`; None if it may not have one of them."""
        if not asked:
            return self.scopes
        names = tuple(dict.fromkeys(asked.split(" ")))
        return names if set(names) <= set(self.scopes) else None


DEFAULT_TERMS: Final = TokenTerms()
"""The deployment's audience, no scopes, and nothing to ask about."""
