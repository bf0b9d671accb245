"""Devices in front of the real service."""

from tests.service import alice, bob, clock, new_device, server

__all__ = ["alice", "bob", "clock", "new_device", "server"]
