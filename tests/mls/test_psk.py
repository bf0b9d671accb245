import pytest
from keyturn.mls import MalformedMessage, UnknownPsk
from keyturn.mls.encoding import decode
from keyturn.mls.psk import APPLICATION, BRANCH, EXTERNAL, REINIT, RESUMPTION, PskId, PskSource

EXTERNAL_ID = PskId(EXTERNAL, 0, b"name", 0, b"nonce")
RESUMPTION_ID = PskId(RESUMPTION, APPLICATION, b"group", 3, b"nonce")


@pytest.mark.parametrize("psk", [EXTERNAL_ID, *(PskId(RESUMPTION, use, b"g", 3, b"n") for use in (1, REINIT, BRANCH))])
def test_an_id_is_read_as_written(psk: PskId) -> None:
    assert decode(PskId.read, psk.encode()) == psk


@pytest.mark.parametrize("head", ["0000", "0301", "0200", "0204"])
def test_unknown_kinds_are_malformed(head: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(PskId.read, bytes.fromhex(head) + bytes(10))


def test_keys_are_found_where_they_are() -> None:
    source = PskSource({b"name": b"external"}, {(b"group", 3): b"resumption"})
    assert source.find(EXTERNAL_ID) == b"external"
    assert source.find(RESUMPTION_ID) == b"resumption"
    assert source.secret([EXTERNAL_ID, RESUMPTION_ID]) != source.secret([RESUMPTION_ID, EXTERNAL_ID])
    assert source.secret([]) == bytes(32)
    assert "external" not in repr(source)
    for wanted in (PskId(EXTERNAL, 0, b"group", 0, b""), PskId(RESUMPTION, APPLICATION, b"group", 4, b"")):
        with pytest.raises(UnknownPsk):
            source.find(wanted)


def test_keys_are_not_shown() -> None:
    assert repr(PskSource({b"id": b"key"}, {(b"group", 1): b"another"})) == "PskSource()"
