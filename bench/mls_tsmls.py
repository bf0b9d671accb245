"""Row: our MLS library against ts-mls at 200 members: join, process a path update, send from a saved state.

Both work on the same Welcome and the same commit, each in its own process and timed inside it, the medians of 9 rounds
after 2. The worst of the three ratios counts. ts-mls is installed as the interop tests do, exactly as their lock says.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from keyturn.mls import Group, LifetimePolicy

from bench.mls_rooms import LARGE, NOTICE, NOW, newcomer
from bench.rows import Measured, NotRunError
from bench.timing import milliseconds, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.mls import KeyPackageSecrets

INTEROP = Path(__file__).parents[1] / "tests" / "interop"
ROUNDS, WARM_UP = 9, 2
_ANY = LifetimePolicy(longest=None)


def against_tsmls(_folder: Path) -> Measured:
    """Return the worst of three times over that of ts-mls. Raises `NotRunError` without Node or the registry."""
    node = _node()
    command = [node, str(INTEROP / "timing.mjs"), str(ROUNDS + WARM_UP)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:  # noqa: S603 - our own program
        if program.stdin is None or program.stdout is None:
            raise NotRunError("Node has no pipes.")

        def ask(request: Mapping[str, object]) -> dict[str, object]:
            print(json.dumps(request), file=program.stdin, flush=True)
            answer: dict[str, object] = json.loads(program.stdout.readline())  # type: ignore[union-attr] # checked above
            return answer

        theirs = ask({"notBefore": 0, "notAfter": int(NOW.timestamp()) + 86_400})
        own, _ = newcomer(LARGE - 1)
        welcome, update = _group_for(own, base64.b64decode(str(theirs["keyPackage"])))
        inputs = {"welcome": welcome, "update": update, "notice": NOTICE}
        times = ask({name: base64.b64encode(data).decode() for name, data in inputs.items()})
    return _compared(own, welcome, update, times)


def _group_for(own: KeyPackageSecrets, theirs: bytes) -> tuple[bytes, bytes]:
    """Create the group with our member and theirs in it: the Welcome for both, and the path update after it."""
    founder, _ = newcomer(0)
    group = Group.create(b"bench", founder, random=os.urandom, now=NOW)
    others = [newcomer(number)[0].key_package for number in range(1, LARGE - 2)]
    group = group.commit(random=os.urandom, now=NOW, add=others).group
    commit = group.commit(random=os.urandom, now=NOW, add=[theirs, own.key_package], lifetimes=_ANY)
    if commit.welcome is None:
        raise ValueError("a commit that adds has a Welcome")
    return commit.welcome, commit.group.commit(random=os.urandom, now=NOW).message


def _compared(own: KeyPackageSecrets, welcome: bytes, update: bytes, theirs: Mapping[str, object]) -> Measured:
    joined = Group.join(welcome, own, now=NOW, lifetimes=_ANY)
    saved = joined.receive(update, now=NOW)[0].to_bytes()
    acts: dict[str, Callable[[], object]] = {
        "join": lambda: Group.join(welcome, own, now=NOW, lifetimes=_ANY),
        "update": lambda: joined.receive(update, now=NOW),
        "send": partial(_send, saved),
    }
    timed = {name: partial(milliseconds, act) for name, act in acts.items()}
    ours = {name: median(durations) for name, durations in samples(timed, rounds=ROUNDS, warm_up=WARM_UP).items()}
    peer = {name: median(list(values)[WARM_UP:]) for name, values in theirs.items() if isinstance(values, list)}
    parts = {f"{name}_ms": ours[name] for name in acts} | {f"tsmls_{name}_ms": peer[name] for name in acts}
    ratios = {f"{name}_ratio": ours[name] / peer[name] for name in acts}
    return Measured(max(ratios.values()), {**parts, **ratios})


def _send(saved: bytes) -> bytes:
    return Group.from_bytes(saved, now=NOW).encrypt(NOTICE, random=os.urandom)[0].to_bytes()


def _node() -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotRunError("No Node on this machine.")
    if not (INTEROP / "node_modules" / "ts-mls").is_dir():
        completed = subprocess.run([npm, "ci", "--prefer-offline"], cwd=INTEROP, capture_output=True, check=False)  # noqa: S603 - fixed words
        if completed.returncode:
            raise NotRunError("ts-mls cannot be installed: the npm registry is out of reach.")
    return node
