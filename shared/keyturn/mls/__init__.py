"""MLS (RFC 9420) for cipher suite 1 and basic credentials: the public API on one page.

Values in, new state and events out; see README.md beside this file. Nothing here knows a store, a clock, or any
randomness but what it is given.
"""

from keyturn.mls.errors import (
    DecryptionFailed,
    ExpiredKeyPackage,
    GenerationTooFar,
    InvalidArgument,
    InvalidCommit,
    InvalidKeyPackage,
    InvalidLeafNode,
    InvalidProposal,
    InvalidSignature,
    InvalidState,
    InvalidTag,
    InvalidTree,
    InvalidWelcome,
    MalformedMessage,
    MlsError,
    NewerStateVersion,
    NotActive,
    NotForUs,
    OwnMessage,
    ReplayedMessage,
    UnknownPsk,
    UnknownSender,
    UnsupportedFeature,
    WrongEpoch,
    WrongGroup,
)
from keyturn.mls.events import ApplicationReceived, CommitReceived, Event, Member, ProposalReceived
from keyturn.mls.group import Commit, Group
from keyturn.mls.hpke import Random
from keyturn.mls.key_package import KeyPackageSecrets, KeyPackageView, create_key_package, read_key_package

__all__ = [
    "ApplicationReceived",
    "Commit",
    "CommitReceived",
    "DecryptionFailed",
    "Event",
    "ExpiredKeyPackage",
    "GenerationTooFar",
    "Group",
    "InvalidArgument",
    "InvalidCommit",
    "InvalidKeyPackage",
    "InvalidLeafNode",
    "InvalidProposal",
    "InvalidSignature",
    "InvalidState",
    "InvalidTag",
    "InvalidTree",
    "InvalidWelcome",
    "KeyPackageSecrets",
    "KeyPackageView",
    "MalformedMessage",
    "Member",
    "MlsError",
    "NewerStateVersion",
    "NotActive",
    "NotForUs",
    "OwnMessage",
    "ProposalReceived",
    "Random",
    "ReplayedMessage",
    "UnknownPsk",
    "UnknownSender",
    "UnsupportedFeature",
    "WrongEpoch",
    "WrongGroup",
    "create_key_package",
    "read_key_package",
]
