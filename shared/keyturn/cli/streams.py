"""The standard streams of the program: closed, full or of a small character set, they lose nothing silently.

1. A closed descriptor 0, 1 or 2 is opened on the null device. Otherwise the next file that is opened, such as a SQLite
   file, would get that number, and be read or written as the terminal ("How To Corrupt An SQLite Database File" §2.7).
   What is opened for a closed stdout can't be written, so that the lost output is an error and not a success.
2. Output that can't be written raises `OutputError`, once. Notes and errors on stderr are dropped instead: a command
   does not fail because its notes can't be written.
3. Characters that a terminal can't show are printed as escapes (backslash, u, four digits).
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from keyturn.device.core.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDIN, _STDOUT, _STDERR = 0, 1, 2
# stdout is opened for reading only: rule 1.
_SUBSTITUTES = {_STDIN: os.O_RDONLY, _STDOUT: os.O_RDONLY, _STDERR: os.O_WRONLY}
_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EPIPE: "its reader has closed the pipe",
    errno.EBADF: "standard output is closed",
}


class OutputError(DeviceError):
    """The command's output could not be written."""

    def __init__(self, error: OSError) -> None:
        cause = _CAUSES.get(error.errno or 0, "the system refuses it")
        super().__init__(
            f"The output can't be written: {cause}.",
            "The command itself may have been carried out. Look at the state before you run it again.",
        )


@contextmanager
def standard_streams() -> Iterator[None]:
    """Have the program's streams follow the rules of this module while the context lasts.

    Raises `OutputError` at the end if the last output can't be written.
    """
    for descriptor, mode in _SUBSTITUTES.items():
        _open_if_closed(descriptor, mode)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as the program
    sys.stdout = _text_stream(_Output(_STDOUT), sys.stdout)
    sys.stderr = _text_stream(_Notes(_STDERR), sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()


def _open_if_closed(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, mode)  # gets the lowest free number, which is this one: lower ones are open by now


def _text_stream(raw: io.FileIO, replaced: TextIO | None) -> io.TextIOWrapper:
    encoding = getattr(replaced, "encoding", None) or "utf-8"
    is_terminal = raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=is_terminal
    )


class _Output(io.FileIO):
    """Standard output. A failed write raises once. Whatever is written afterwards is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._has_failed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer, a type that Python 3.11 has no name for
        if self._has_failed:
            return memoryview(data).nbytes
        try:
            return os.write(self.fileno(), data)
        except OSError as error:
            self._has_failed = True
            raise OutputError(error) from None


class _Notes(io.FileIO):
    """Standard error. What can't be written is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)

    def write(self, data: Any) -> int:  # noqa: ANN401 - the same
        try:
            return os.write(self.fileno(), data)
        except OSError:
            return memoryview(data).nbytes
