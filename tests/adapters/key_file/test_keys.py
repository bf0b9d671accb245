from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from keyturn.adapters.key_file.file import KeyFile
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.private_files import draft_of

ROOT = Path(__file__).parents[3]


def counting_bytes() -> Any:  # noqa: ANN401 - a closure
    state = [0]

    def random(length: int) -> bytes:
        state[0] += 1
        return bytes([state[0]]) * length

    return random


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


@pytest.fixture
def keys(path: Path) -> LocalKeys:
    return LocalKeys.open_or_create(path, os.urandom)


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_file_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        LocalKeys.open_or_create(path, os.urandom)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_file_keeps_its_mode_under_a_umask_that_takes_everything(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        LocalKeys.open_or_create(tmp_path / "keys.json", os.urandom).add_version("mac")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_names_count_within_their_purpose(keys: LocalKeys) -> None:
    assert (keys.mac.current(), keys.signer.current()) == ("local/mac/1", keys.kid_of("local/sign/1"))
    assert [keys.add_version(purpose) for purpose in ("mac", "mac", "seal")] == [
        "local/mac/2",
        "local/mac/3",
        "local/seal/2",
    ]


def test_tenth_version_is_newer_than_the_ninth(keys: LocalKeys) -> None:
    for _ in range(9):
        keys.add_version("mac")
    assert keys.mac.current() == "local/mac/10"


def test_keys_survive_opening_again(keys: LocalKeys, path: Path) -> None:
    sealed, tag = keys.sealer.seal(b"plain", b""), keys.mac.sign("local/mac/1", b"data")
    again = LocalKeys.open_or_create(path, os.urandom)
    assert again.sealer.unseal(sealed, b"") == b"plain"
    assert again.mac.verify("local/mac/1", b"data", tag)
    assert again.signer.public_keys() == keys.signer.public_keys()


def test_keys_come_from_the_randomness_that_was_given(tmp_path: Path) -> None:
    one, other = (LocalKeys.open_or_create(tmp_path / name, counting_bytes()) for name in ("a", "b"))
    assert one.signer.public_keys() == other.signer.public_keys()
    assert one.mac.sign("local/mac/1", b"") == other.mac.sign("local/mac/1", b"")


def test_version_that_another_process_added_is_used_at_once(keys: LocalKeys, path: Path) -> None:
    other = LocalKeys.open_or_create(path, os.urandom)
    assert other.mac.current() == "local/mac/1"
    keys.add_version("mac")
    keys.disable("local/mac/1")
    assert other.mac.current() == "local/mac/2"
    with pytest.raises(KeyRefused):
        other.mac.sign("local/mac/1", b"data")


ADDING = """
import os, pathlib, sys
from keyturn.adapters.key_file.keys import LocalKeys
keys = LocalKeys.open_or_create(pathlib.Path(sys.argv[1]), os.urandom)
for _ in range(10):
    keys.add_version("mac")
"""


def test_processes_that_open_and_add_at_once_lose_no_key(path: Path) -> None:
    command = [sys.executable, "-c", ADDING, str(path)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]  # noqa: S603 - our own program
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert LocalKeys.open_or_create(path, os.urandom).mac.current() == "local/mac/31"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_unknown_purpose_and_unknown_name_are_refused(keys: LocalKeys, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="purpose"):
        keys.add_version("other")
    with pytest.raises(KeyRefused):
        keys.disable("local/mac/9")
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_file_that_others_may_read_is_refused(keys: LocalKeys, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyUnavailable, match="0600"):
        LocalKeys.open_or_create(path, os.urandom)
    with pytest.raises(KeyUnavailable, match="0600"):
        keys.mac.current()


def test_symbolic_link_is_refused(keys: LocalKeys, path: Path) -> None:
    assert keys.mac.current()
    path.rename(path.with_name("real.json"))
    path.symlink_to(path.with_name("real.json"))
    with pytest.raises(KeyUnavailable, match="symbolic link"):
        LocalKeys.open_or_create(path, os.urandom)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_mounted_file_may_be_a_link_that_the_platform_swaps(keys: LocalKeys, path: Path, mode: int) -> None:
    """As a Kubernetes volume: `keys.json` links to `..data/keys.json`, and `..data` to the folder of one state."""
    mount = path.parent.with_name("mount")
    for name in ("first", "second"):
        (mount / name).mkdir(parents=True)
        (mount / name / path.name).write_bytes(path.read_bytes())
        (mount / name / path.name).chmod(mode)
        keys.add_version("sign")
    (mount / "..data").symlink_to("first")
    (mount / path.name).symlink_to(f"..data/{path.name}")
    mounted = LocalKeys(KeyFile(mount / path.name, mounted=True), os.urandom)
    assert mounted.signer.current() == mounted.kid_of("local/sign/1") != ""
    (mount / "..next").symlink_to("second")
    (mount / "..next").rename(mount / "..data")
    assert mounted.signer.current() == mounted.kid_of("local/sign/2") != ""
    with pytest.raises(KeyUnavailable, match="mounted"):
        mounted.add_version("sign")
    assert (mount / path.name).is_symlink()


@pytest.mark.parametrize("mode", [0o404, 0o444, 0o460, 0o602, 0o620, 0o644, 0o660])
def test_mounted_file_that_others_read_or_its_group_writes_is_refused(keys: LocalKeys, path: Path, mode: int) -> None:
    assert keys.mac.current()
    path.chmod(mode)
    with pytest.raises(KeyUnavailable, match=f"has mode {mode:04o}"):
        KeyFile(path, mounted=True).read()


def test_dangling_link_is_not_filled(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere.json"))
    with pytest.raises(KeyUnavailable):
        LocalKeys.open_or_create(path, os.urandom)
    assert not path.with_name("elsewhere.json").exists()


def test_folder_and_pipe_are_no_key_file(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    with pytest.raises(KeyUnavailable, match="regular"):
        LocalKeys.open_or_create(path, os.urandom)
    os.mkfifo(path.with_name("pipe"), 0o600)
    with pytest.raises(KeyUnavailable, match="regular"):
        LocalKeys.open_or_create(path.with_name("pipe"), os.urandom)


def test_folder_that_others_may_write_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o770)
    with pytest.raises(KeyUnavailable, match="folder"):
        LocalKeys.open_or_create(path, os.urandom)
    assert list(path.parent.iterdir()) == []


def test_newer_file_is_refused_and_left_as_it_is(keys: LocalKeys, path: Path) -> None:
    edited(path, version=3, keys="another shape")
    before = path.read_bytes()
    for attempt in (keys.mac.current, lambda: keys.add_version("mac"), lambda: keys.disable("local/mac/1")):
        with pytest.raises(KeyUnavailable, match="newer"):
            attempt()
    with pytest.raises(KeyUnavailable, match="newer"):
        LocalKeys.open_or_create(path, os.urandom)
    assert path.read_bytes() == before


def test_missing_file_is_refused_once_opened(keys: LocalKeys, path: Path) -> None:
    path.unlink()
    with pytest.raises(KeyUnavailable, match="missing"):
        keys.mac.current()


DAMAGE: dict[str, object] = {
    "no keys": [],
    "keys of no shape": 5,
    "no name": [{}],
    "wrong purpose": [{"name": "local/x/1", "purpose": "x", "enabled": True, "secret": "A" * 43}],
    "name of another purpose": [{"name": "local/seal/1", "purpose": "mac", "enabled": True, "secret": "A" * 43}],
    "short secret": [{"name": "local/mac/1", "purpose": "mac", "enabled": True, "secret": "A" * 42}],
    "no base64": [{"name": "local/mac/1", "purpose": "mac", "enabled": True, "secret": "SEAL*"}],
    "zero as scalar": [{"name": "local/sign/1", "purpose": "sign", "enabled": True, "secret": "A" * 43}],
    "scalar past the order": [{"name": "local/sign/1", "purpose": "sign", "enabled": True, "secret": "_" * 42 + "8"}],
    "enabled as text": [{"name": "local/mac/1", "purpose": "mac", "enabled": "yes", "secret": "A" * 43}],
    "two of a name": [{"name": "local/mac/1", "purpose": "mac", "enabled": True, "secret": "A" * 43}] * 2,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_keys_are_refused_and_left_as_they_are(keys: LocalKeys, path: Path, name: str) -> None:
    edited(path, keys=DAMAGE[name])
    before = path.read_bytes()
    with pytest.raises(KeyUnavailable, match="damaged"):
        LocalKeys.open_or_create(path, os.urandom)
    with pytest.raises(KeyUnavailable, match="damaged"):
        keys.add_version("mac")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"format": "other"}'])
def test_what_is_no_key_file_is_refused(keys: LocalKeys, path: Path, content: bytes) -> None:
    assert keys.mac.current()
    path.write_bytes(content)
    with pytest.raises(KeyUnavailable, match="damaged"):
        LocalKeys.open_or_create(path, os.urandom)


def test_refusal_carries_no_byte_of_the_file(keys: LocalKeys, path: Path) -> None:
    assert keys.mac.current()
    path.write_bytes(path.read_bytes()[:-5])
    secret = keys_in(path.read_text())
    with pytest.raises(KeyUnavailable) as refused:
        LocalKeys.open_or_create(path, os.urandom)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert secret not in repr(refused.value)


def keys_in(text: str) -> str:
    return text.partition('"secret": "')[2].partition('"')[0]


def test_no_secret_in_any_repr(keys: LocalKeys, path: Path) -> None:
    secret = keys.current("mac").secret
    assert keys_in(path.read_text())
    shown = repr([keys, keys.mac, keys.sealer, keys.signer, keys.current("mac"), keys.current("sign")])
    assert "secret" not in shown
    assert secret.hex() not in shown
    assert repr(secret) not in shown


def test_draft_of_a_process_that_died_is_cleared_away(keys: LocalKeys, path: Path) -> None:
    draft_of(path).write_bytes(b"abandoned")
    keys.add_version("seal")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_opening_imports_nothing_heavy() -> None:
    program = "import sys, keyturn.adapters.key_file.keys; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0  # noqa: S603 - our own
