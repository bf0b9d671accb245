"""A real terminal (a pseudo-terminal) with somebody in front of it who reads what it shows, and types."""

from __future__ import annotations

import os
import pty
import re
import selectors
import subprocess
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from keyturn.local.demo.authenticator import Authenticator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_OTPAUTH = re.compile(rb"otpauth://\S+")
_CODE_ASKED = b"Code of your authenticator app:"
_CHUNK = 65536
# The first terminal that the leader of a session opens becomes the terminal of the session (/dev/tty).
_ON_TERMINAL = 'exec <"$0"; exec "$@"'


class Reader:
    """A person with an authenticator app: scans the secret that is shown, and types its codes when asked for them.

    `answers` are other questions, and the person's answer to each.
    """

    def __init__(self, answers: Mapping[str, str] | None = None) -> None:
        self._answers = {question.encode(): answer for question, answer in (answers or {}).items()}
        self._authenticator: Authenticator | None = None

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with its standard input and its errors on a terminal; its output is a pipe."""
        screen, terminal = pty.openpty()
        process = subprocess.Popen(  # noqa: S603 - our own program and a test's arguments
            ["/bin/sh", "-c", _ON_TERMINAL, os.ttyname(terminal), *command],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        os.close(terminal)
        with process, os.fdopen(screen, "r+b", buffering=0) as keyboard:
            shown, output = self._attend(keyboard.fileno(), process)
        return subprocess.CompletedProcess(list(command), process.returncode, output.decode(), shown.decode())

    def _attend(self, screen: int, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        assert process.stdout is not None
        shown, output = b"", b""
        answered: Counter[bytes] = Counter()
        with selectors.DefaultSelector() as waiting:
            waiting.register(screen, selectors.EVENT_READ)
            waiting.register(process.stdout, selectors.EVENT_READ)
            while waiting.get_map():
                for key, _ in waiting.select():
                    read = b""
                    with suppress(OSError):  # a terminal whose program has ended can't be read any more
                        read = os.read(key.fd, _CHUNK)
                    if not read:
                        waiting.unregister(key.fileobj)
                    elif key.fd == screen:
                        shown += read
                        self._answer(screen, shown, answered)
                    else:
                        output += read
        return shown, output

    def _answer(self, screen: int, shown: bytes, answered: Counter[bytes]) -> None:
        found = _OTPAUTH.search(shown)
        if found and not answered[_CODE_ASKED]:
            self._authenticator = Authenticator(found[0].decode("ascii"))
        for question in (_CODE_ASKED, *self._answers):
            if shown.count(question) > answered[question]:
                answered[question] += 1
                os.write(screen, self._reply(question).encode("ascii") + b"\n")

    def _reply(self, question: bytes) -> str:
        if question != _CODE_ASKED:
            return self._answers[question]
        assert self._authenticator is not None, "a code was asked for before a secret was shown"
        return self._authenticator()
