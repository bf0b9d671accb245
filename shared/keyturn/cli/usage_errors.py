"""Usage errors: one sentence and one hint that never repeat the input.

The framework's messages quote the arguments, and an argument may be a secret typed by mistake (docs/protocol.md §11).
A message names an option or a command only if the name is the program's own.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeGuard

import typer

from keyturn.device.api.error_hints import hint_of_reason

if TYPE_CHECKING:
    from keyturn.domain.errors import Refusal

_USAGE_ERROR: type[BaseException] = typer.BadParameter.__mro__[1]
"""The base class of usage errors. Some versions of typer vendor it, others import click's: this finds both."""
_HELP_INSTEAD = "NoArgsIsHelpError"
_IN_HISTORY = "Pipe the secret in. A secret given as an argument is in your shell's history: rotate it."
_CAUSES = {
    errno.EACCES: "there is no permission",
    errno.EPERM: "there is no permission",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.ENOENT: "it does not exist",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "it exists already",
}
_IDS = "Ids have 1 to 128 characters: letters, digits and . _ ~ -"


def is_usage_error(error: BaseException) -> TypeGuard[Exception]:
    """Return whether this is a usage error of the framework. Its request to show the help is not."""
    return isinstance(error, _USAGE_ERROR) and type(error).__name__ != _HELP_INSTEAD


def sentence_of(error: Exception) -> str:
    """Return the sentence for a usage error."""
    name = _own_name(getattr(error, "param", None))
    # By name, because the classes are typer's own or click's, depending on the version.
    match type(error).__name__:
        case "MissingParameter":
            return f"{name} is missing."
        case "BadParameter":
            return f"The value of {name} is not valid."
        case "NoSuchOption":
            return "There is no such option."
        case "BadOptionUsage":
            return "An option lacks its value, or has one and takes none."
    if hasattr(_command(error), "commands"):
        return "There is no such command."
    return "There are more arguments than the command takes."


def hint_of(error: Exception, command: str | None) -> str:
    """Return the hint for a usage error of a command. An extra argument of `check` may be a secret."""
    is_stray = getattr(error, "param", None) is None
    if is_stray and command == "check":
        return _IN_HISTORY
    path = getattr(getattr(error, "ctx", None), "command_path", None)  # not every error has a context
    return f"See `{path or ' '.join(filter(None, ('keyturn', command)))} --help`."


def system_error(error: OSError) -> tuple[str, str]:
    """Return sentence and hint for a file that the operating system refuses. Its path may be a secret by mistake."""
    cause = _CAUSES.get(error.errno or 0, "it can't be used")
    return (
        f"A file or folder of this user is refused: {cause}.",
        "Check the folders that HOME, XDG_DATA_HOME and XDG_STATE_HOME name, and the paths of this command.",
    )


def id_hint(refusal: Refusal) -> str:
    """Return the hint for an invalid id or value."""
    return hint_of_reason(refusal.reason) or _IDS


def _command(error: Exception) -> object:
    return getattr(getattr(error, "ctx", None), "command", None)


def _own_name(parameter: object) -> str:
    options = [name for name in getattr(parameter, "opts", ()) if name.startswith("--")]
    name = options[0] if options else getattr(parameter, "metavar", None) or getattr(parameter, "name", None)
    return str(name or "A value")
