"""The errors of a device's home. Each has a sentence, and a hint on what to do next.

    HomeError
    ├── NotAHomeError           the folder holds no device
    ├── AlreadyExistsError      the folder holds something already, which is left alone
    ├── TooOpenError            other users of this machine could read it
    ├── NewerVersionError       a later version of keyturn wrote it
    ├── DamagedError            a file has content that keyturn can't have written
    ├── RolledBackError         an older copy was restored while a command was running
    ├── BusyError               another command holds the lock
    ├── InvalidNameError        the device's name is invalid
    ├── UnreadableError         the operating system refuses
    └── PassphraseError         there is no usable passphrase
        ├── ExposedPassphraseError  other users of this machine could read it
        └── WrongPassphraseError    it does not open this home

`code` is stable. The sentences are constants: they contain no path, name or passphrase.
"""

from __future__ import annotations

from typing import ClassVar


class HomeError(Exception):
    """The home can't be used: `str()` says what is wrong, `hint` what to do."""

    code: ClassVar[str]
    sentence: ClassVar[str]
    hint: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(self.sentence)


class NotAHomeError(HomeError):
    """The folder holds no device."""

    code = "not_a_home"
    sentence = "There is no keyturn device in this folder."
    hint = "Run `keyturn device init` to create one, or name the folder of an existing device with --home."


class AlreadyExistsError(HomeError):
    """The folder is not empty."""

    code = "already_exists"
    sentence = "This folder already holds a device or other files."
    hint = "Choose a folder that is empty or does not exist yet, with --home."


class TooOpenError(HomeError):
    """Group or others have rights on the folder or a file in it."""

    code = "too_open"
    sentence = "Other users of this machine have access to the device's folder or to a file in it."
    hint = "Run chmod 700 on the folder and chmod 600 on its files; if others could read them, enrol a new device."


class NewerVersionError(HomeError):
    """The format is from a later version."""

    code = "newer_version"
    sentence = "A newer version of keyturn wrote this device's files."
    hint = "Upgrade keyturn on this machine."


class DamagedError(HomeError):
    """A file is truncated, changed, missing or from another home."""

    code = "damaged"
    sentence = "A file of this device is missing, damaged or changed."
    hint = "Enrol a new device, and have this one removed from its groups."


class RolledBackError(HomeError):
    """The counter of the state has decreased."""

    code = "rolled_back"
    sentence = "This device's state is older than the state that was read before."
    hint = "Run the command again: the device then comes back to its groups with new keys."


class BusyError(HomeError):
    """The lock was not free in time."""

    code = "busy"
    sentence = "Another command is using this device."
    hint = "Wait for it to end, then try again."


class InvalidNameError(HomeError):
    """The name is empty, too long, not printable, or contains a secret."""

    code = "invalid_name"
    sentence = "A device's name is 1 to 128 printable characters, and no secret."
    hint = "Choose a short name that you will recognise, such as laptop."


class UnreadableError(HomeError):
    """The operating system refused to read or write."""

    code = "unreadable"
    sentence = "The device's folder, or its state folder, can't be read or written."
    hint = "Check that --home and XDG_STATE_HOME are folders that this user may write, and that the disk has space."


class PassphraseError(HomeError):
    """There is no usable passphrase."""

    code = "no_passphrase"
    sentence = "The passphrase is empty, or its file can't be read or is not text."
    hint = "Give a passphrase at the prompt, or name a file that holds nothing else, with mode 0600."


class ExposedPassphraseError(PassphraseError):
    """Group or others have rights on the passphrase's file."""

    code = "exposed_passphrase"
    sentence = "Other users of this machine have access to the passphrase's file."
    hint = "Run chmod 600 on the file; if others could read it, enrol a new device."


class WrongPassphraseError(PassphraseError):
    """The passphrase does not open this home."""

    code = "wrong_passphrase"
    sentence = "The passphrase does not open this device."
    hint = "Try again. A lost passphrase can't be recovered: enrol a new device instead."
