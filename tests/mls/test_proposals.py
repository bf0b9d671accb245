import pytest
from keyturn.mls import MalformedMessage, UnsupportedFeature
from keyturn.mls.encoding import decode
from keyturn.mls.proposals import CommitContent, ExternalInit, Reference, Remove, encode_proposal, read_proposal


@pytest.mark.parametrize("kind", ["0000", "0008", "0a0a"])
def test_an_unknown_proposal_is_unsupported(kind: str) -> None:
    with pytest.raises(UnsupportedFeature):
        decode(read_proposal, bytes.fromhex(kind))


def test_a_commit_holds_values_and_references() -> None:
    commit = CommitContent((Remove(1), Reference(bytes(32)), ExternalInit(b"kem")), None)
    assert decode(CommitContent.read, commit.encode()) == commit
    assert encode_proposal(Remove(1)) == bytes.fromhex("000300000001")
    for kind in (0, 3):
        with pytest.raises(MalformedMessage):
            decode(CommitContent.read, bytes([2, kind, 0, 0]))
