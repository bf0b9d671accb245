"""Tests that fork find nothing of gRPC running in the child: its threads would close descriptors of the child."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_SECONDS = 30
THREADS = Path("/proc/self/task")
"""A folder with an entry for each thread of the process that reads it. Only Linux has it."""


@pytest.fixture
def used_channel() -> Iterator[grpc.Channel]:
    """Connect to a server of this process, so that gRPC's threads run."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(DEADLINE_SECONDS)
        yield channel
    server.stop(None).wait(DEADLINE_SECONDS)


@pytest.mark.usefixtures("used_channel")
@pytest.mark.skipif(not THREADS.is_dir(), reason="only Linux lists the threads of a process")
def test_a_forked_process_has_no_thread_of_grpc() -> None:
    assert len([*THREADS.iterdir()]) > 1
    child = os.fork()
    if not child:
        os._exit(len([*THREADS.iterdir()]))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
