"""Standard input: a terminal or a pipe. And the terminal of the session, which a pipe does not hide."""

from __future__ import annotations

import os
import sys

_TERMINAL = "/dev/tty"


def is_terminal() -> bool:
    """Return whether a person types into standard input."""
    return sys.stdin.isatty()


def has_terminal() -> bool:
    """Return whether this session has a terminal, to ask for what must not be read from a pipe."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def read_line() -> str:
    """Return the next line without its end, empty at the end of the input."""
    if is_terminal():
        return sys.stdin.readline().strip()
    # Unbuffered: the lines that follow belong to the commands that follow in a script.
    stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    line: bytes = stream.readline()
    return line.decode("utf-8", "replace").strip()


def read_all() -> bytes:
    """Return the whole input."""
    return sys.stdin.buffer.read()
