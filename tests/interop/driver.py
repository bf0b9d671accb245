"""Speaks with a Node process (the ts-mls members; a Nostr client): one request, one answer, a line of JSON each."""

import base64
import json
import select
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ANSWER_SECONDS = 60
MEMBERS = Path(__file__).with_name("member.mjs")
Answer = dict[str, Any]


class PeerRefused(Exception):  # noqa: N818 - it is the peer's answer, not our error
    """The program answered that it cannot do what it was asked for."""


class Driver:
    """The Node process, for as long as the block lasts."""

    def __init__(self, node: str, program: Path = MEMBERS) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program, no words of others
            [node, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:  # closes the pipes, at which the program ends, and waits for it
            pass

    def ask(self, operation: str, member: str, **request: object) -> Answer:
        """Ask a member for an operation; bytes travel as base64. PeerRefused is its no."""
        line = json.dumps({"op": operation, "member": member, **request}, default=to_text)
        answer = self._exchange(line)
        if not answer.pop("ok"):
            raise PeerRefused(f"{operation}: {answer['error']}")
        return answer

    def _exchange(self, line: str) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        # A program that hangs fails the test instead of hanging it. One answer per request: nothing waits in a buffer.
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        if not ready:
            self._process.kill()
        given = self._process.stdout.readline()
        assert given, "the Node process gives no answer"
        answer: Answer = json.loads(given)
        return answer


def to_text(data: object) -> str:
    """Encode what JSON cannot: bytes."""
    if not isinstance(data, bytes):
        raise TypeError("only bytes travel as base64")
    return base64.b64encode(data).decode()


def to_bytes(text: str) -> bytes:
    """Decode base64."""
    return base64.b64decode(text, validate=True)
