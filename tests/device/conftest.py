"""The scene of cli tests serves the device too."""

from tests.cli.conftest import alice, bob, clock, new_device, server

__all__ = ["alice", "bob", "clock", "new_device", "server"]
