"""Header lines of a request, held to the grammar of RFC 9110 §5 and RFC 9112 §5 before Python's parser reads them.

Python's parser accepts more: folded lines, a space before the colon, control characters. A proxy in front could read
such a request in another way than we do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message
    from io import BufferedIOBase

# A token, a colon, and a value without control characters. Bytes from 0x80 on are obs-text (RFC 9110 §5.5).
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r?\n")
_ENDS = {b"\r\n", b"\n", b""}
_LENGTH = re.compile(r"[0-9]{1,18}\Z")


class BadHeader(Exception):  # noqa: N818 - what the request has
    """The request violates the grammar of header fields."""


class HeaderLines:
    """Gives the header lines of a request to `http.client.parse_headers`, which reads them with `readline`."""

    def __init__(self, lines: BufferedIOBase) -> None:
        self._lines = lines

    def readline(self, size: int) -> bytes:
        """Return the next line without the white space around its value. `BadHeader` if it is malformed."""
        line = self._lines.readline(size)
        if line in _ENDS or len(line) == size:  # the parser refuses a line that is too long
            return line
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadHeader
        return match[1] + b": " + match[2] + b"\r\n"


def require_framing(headers: Message, version: str) -> None:
    """Raise `BadHeader` unless host and length are unambiguous (RFC 9112 §3.2, §6.1 and §6.3)."""
    hosts, lengths = headers.get_all("Host", []), headers.get_all("Content-Length", [])
    encodings = headers.get_all("Transfer-Encoding", [])
    if len(hosts) > 1 or (not hosts and version == "HTTP/1.1"):
        raise BadHeader
    if len(lengths) > 1 or not all(map(_LENGTH.match, lengths)) or (lengths and encodings):
        raise BadHeader
    if len(encodings) > 1 or any(encoding.lower() != "chunked" for encoding in encodings):
        raise BadHeader
