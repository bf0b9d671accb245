"""The only family of errors that leaves the package. Each instance cites the clause that the input breaks.

    MlsError
    ├── InvalidArgument            the caller's own values do not fit
    ├── NotActive                  this member was removed, so the group is read-only
    ├── MalformedMessage           bytes that do not parse
    ├── UnsupportedFeature         well-formed, but outside what this library does
    ├── NotForUs                   a Welcome without a secret for this key package
    ├── WrongGroup, WrongEpoch     a message for another group or another time
    ├── UnknownSender              no such member
    ├── OwnMessage                 our own message came back
    ├── InvalidSignature, InvalidTag, DecryptionFailed
    ├── ReplayedMessage            the generation's key is consumed, or older than the window
    ├── GenerationTooFar           the generation is beyond the window
    ├── InvalidLeafNode, InvalidKeyPackage, ExpiredKeyPackage
    ├── CommitRequired             a proposal is pending, so no application message may be sent
    ├── InvalidTree, InvalidProposal, InvalidCommit, InvalidWelcome
    ├── UnknownPsk                 a pre-shared key that the caller did not give
    └── InvalidState, NewerStateVersion   a saved state that fails its self-check or is from the future

No text of an error repeats anything that was presented.
"""
# ruff: noqa: N818 - the base class is MlsError, and the class names are public API


class MlsError(Exception):
    """Base of all refusals. `clause` names the rule that was broken, such as "RFC 9420 §12.2"."""

    def __init__(self, message: str, clause: str) -> None:
        super().__init__(message)
        self.clause = clause

    def __str__(self) -> str:
        return f"{self.args[0]} ({self.clause})"


class InvalidArgument(MlsError):
    """A value given by the caller has the wrong size, range or kind."""


class NotActive(MlsError):
    """The member was removed from the group: nothing can be sent or received any more."""


class MalformedMessage(MlsError):
    """Bytes that are no encoding of the expected structure: truncated, trailing or lying about lengths."""


class UnsupportedFeature(MlsError):
    """Well-formed, but a version, cipher suite, credential, sender or proposal that this library does not do."""


class NotForUs(MlsError):
    """A Welcome that carries no secret for the key package it was opened with."""


class WrongGroup(MlsError):
    """A message of another group."""


class WrongEpoch(MlsError):
    """A message of an epoch for which this member has no keys, or no longer has them."""

    def __init__(self, message: str, clause: str, *, message_epoch: int, group_epoch: int) -> None:
        super().__init__(message, clause)
        self.message_epoch = message_epoch
        self.group_epoch = group_epoch


class UnknownSender(MlsError):
    """The sender is no member of the group in that epoch."""


class OwnMessage(MlsError):
    """This member's own message came back to it."""


class InvalidSignature(MlsError):
    """A signature that does not verify."""


class InvalidTag(MlsError):
    """A membership or confirmation tag that does not verify."""


class DecryptionFailed(MlsError):
    """A ciphertext that does not open."""


class ReplayedMessage(MlsError):
    """The key of that generation was consumed or has fallen out of the window."""


class GenerationTooFar(MlsError):
    """A generation further ahead than the window allows."""


class InvalidLeafNode(MlsError):
    """A leaf node that breaks the rules of validation."""


class InvalidKeyPackage(MlsError):
    """A key package that breaks the rules of validation."""


class ExpiredKeyPackage(InvalidKeyPackage):
    """A key package outside of its lifetime at the given `now`."""


class InvalidTree(MlsError):
    """A ratchet tree with wrong hashes, keys or unmerged leaves."""


class InvalidProposal(MlsError):
    """A proposal that cannot be applied to this group."""


class CommitRequired(MlsError):
    """A proposal is pending: an application message may be sent after a commit only."""


class InvalidCommit(MlsError):
    """A commit that cannot be applied to this group."""


class InvalidWelcome(MlsError):
    """A Welcome with contradictory contents."""


class UnknownPsk(MlsError):
    """A pre-shared key is needed that was not given."""


class InvalidState(MlsError):
    """A saved state that fails its self-check."""


class NewerStateVersion(InvalidState):
    """A saved state written by a newer version of the library."""
