"""A Nostr relay in a process of its own, the one that nostr-sdk carries: to be killed, and started again on its port.

`python relay_process.py PORT SEEN MODE`: every event that arrives is appended to the file SEEN, one a line, before the
relay answers; MODE is what it answers: `accept`, `refuse`, `wait` (it accepts after a while), or
`die` (the process ends without an answer).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, create_connection, socket

import nostr_sdk
from nostr_sdk import nostr_sdk as bindings

ADDRESS = "127.0.0.1"


class Recording(nostr_sdk.WritePolicy):  # type: ignore[misc]  # the bindings are untyped
    """Records what arrives, and answers as it is told to."""

    def __init__(self, seen: Path, mode: str) -> None:
        self._seen = seen
        self._mode = mode

    async def admit_event(self, event: nostr_sdk.Event, socket_addr: str) -> nostr_sdk.WritePolicyResult:
        del socket_addr
        with self._seen.open("a", encoding="utf-8") as file:
            file.write(event.as_json() + "\n")
        if self._mode == "die":
            os._exit(1)
        if self._mode == "wait":
            await asyncio.sleep(0.5)
        if self._mode == "refuse":
            return nostr_sdk.WritePolicyResult.REJECT("blocked: not here")
        return nostr_sdk.WritePolicyResult.ACCEPT()


async def serve(port: int, seen: Path, mode: str) -> None:
    bindings.uniffi_set_event_loop(asyncio.get_running_loop())
    kept = await nostr_sdk.NostrLmdb.open(str(seen.with_suffix(".lmdb")))
    builder = nostr_sdk.LocalRelayBuilder().addr(ADDRESS).port(port).database(kept)
    relay = builder.write_policy(Recording(seen, mode)).build()
    await relay.run()
    await asyncio.Event().wait()


def free_port() -> int:
    with closing(socket(AF_INET, SOCK_STREAM)) as listening:
        listening.bind((ADDRESS, 0))
        return int(listening.getsockname()[1])


@dataclass
class RelayProcess:
    """A relay that a test starts and kills; `folder` keeps what arrived."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://{ADDRESS}:{self.port}"

    @property
    def seen(self) -> Path:
        return self.folder / f"seen-{self.port}.jsonl"

    def arrived(self) -> list[str]:
        return self.seen.read_text(encoding="utf-8").splitlines() if self.seen.exists() else []

    def start(self, mode: str = "accept") -> None:
        self.process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, __file__, str(self.port), str(self.seen), mode]
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "the relay does not start"
            assert self.process.poll() is None, "the relay ended"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with closing(create_connection((ADDRESS, self.port), timeout=1)):
                return True
        except OSError:
            return False


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
