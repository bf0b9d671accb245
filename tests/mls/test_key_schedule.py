import pytest
from keyturn.mls import UnsupportedFeature
from keyturn.mls.encoding import decode
from keyturn.mls.extensions import Extension
from keyturn.mls.key_schedule import EpochSecrets, GroupContext, Joiner

CONTEXT = GroupContext(b"group", 7, bytes(32), b"confirmed", (Extension(5, b""),))


def test_a_context_is_read_as_written() -> None:
    assert decode(GroupContext.read, CONTEXT.encode()) == CONTEXT
    for header in ("00020001", "00010002"):
        with pytest.raises(UnsupportedFeature):
            decode(GroupContext.read, bytes.fromhex(header) + CONTEXT.encode()[4:])


def test_the_encryption_secret_is_not_saved() -> None:
    secrets = EpochSecrets.derive(bytes(32))
    assert secrets.encryption not in secrets.encode()
    assert decode(EpochSecrets.read, secrets.encode()) == secrets.without_encryption()
    assert repr(secrets) == "EpochSecrets()"


def test_an_epoch_follows_from_everything_before_it() -> None:
    joiner = Joiner.advance(bytes(32), bytes(32), CONTEXT.encode())
    others = (
        Joiner.advance(b"\x01" * 32, bytes(32), CONTEXT.encode()),
        Joiner.advance(bytes(32), b"\x01" * 32, CONTEXT.encode()),
        Joiner.advance(bytes(32), bytes(32), b"other"),
        Joiner.advance(bytes(32), bytes(32), CONTEXT.encode(), b"\x01" * 32),
    )
    epochs = {other.epoch(CONTEXT.encode()).init for other in (joiner, *others)}
    assert len(epochs) == 5
    assert joiner.open_group_info(joiner.seal_group_info(b"info")) == b"info"
    assert repr(joiner) == "Joiner()"


def test_exports_differ_by_label_context_and_length() -> None:
    secrets = EpochSecrets.derive(bytes(32))
    exports = {secrets.export(*asked) for asked in (("a", b"", 32), ("b", b"", 32), ("a", b"c", 32), ("a", b"", 16))}
    assert len(exports) == 4
