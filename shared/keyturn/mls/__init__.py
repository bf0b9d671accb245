"""MLS (RFC 9420) for cipher suite 1 and basic credentials: the public API on one page.

Values in, new state and events out. See README.md beside this file. The package has no store, no clock and no source
of randomness: the caller passes them in.
"""

from .errors import (
    CommitRequired,
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
from .events import ApplicationReceived, CommitReceived, Event, Member, ProposalReceived
from .group import Commit, Group
from .hpke import Random
from .key_package import KeyPackageSecrets, KeyPackageView, LifetimePolicy, create_key_package, read_key_package
from .secret_tree import MOST_SKIPPED

__all__ = [
    "MOST_SKIPPED",
    "ApplicationReceived",
    "Commit",
    "CommitReceived",
    "CommitRequired",
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
    "LifetimePolicy",
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
