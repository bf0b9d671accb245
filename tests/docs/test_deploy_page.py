"""The shell lines of docs/deploy.md §2 and §3 run as written. Those that change a project are named here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from keyturn.cli.operator_token import read_token
from keyturn.device.api.client import ApiClient
from keyturn.entry.config.proof_settings import proofs_from_environment
from keyturn.entry.config.settings import Stage
from keyturn.local.package import archive

from tests.docs.google_stand_ins import ACCESS_TOKEN, ADDRESS, IdentityPlatform, write_programs
from tests.docs.pages import ROOT, read, section
from tests.local.real_machine import Machine
from tests.local.terminal import Reader
from tests.packaging.clones import clone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = "my-keyturn"
PASSWORD = "the password of alice"
QUESTIONS = {
    "Password: ": PASSWORD,
    "Passphrase of this device: ": "a long passphrase",
    "Repeat the passphrase: ": "a long passphrase",
}


class Needs(Enum):
    """What a line needs to run."""

    NOTHING = "runs as written"
    STAND_IN = "runs as written, with a stand-in for Google's answer"
    CLOUD = "does not run here: it changes a project"


LINES = {
    2: {
        "export TF_VAR_project=": Needs.NOTHING,
        "export TF_VAR_stage=": Needs.NOTHING,
        "export TF_VAR_alert_email=": Needs.NOTHING,
        "export TF_VAR_archive=": Needs.NOTHING,
        "terraform -chdir=terraform init ": Needs.CLOUD,
        "terraform -chdir=terraform apply": Needs.CLOUD,
        "export TF_VAR_attestations='{ app_check ": Needs.NOTHING,
        "export TF_VAR_attestations='{ webauthn ": Needs.NOTHING,
    },
    3: {
        "api=": Needs.NOTHING,
        "stty -echo; ": Needs.NOTHING,
        "google() ": Needs.NOTHING,
        """printf '{"localId": """: Needs.STAND_IN,
        "KEY=": Needs.STAND_IN,
        "id_token() ": Needs.NOTHING,
        "make .venv/.local ": Needs.NOTHING,
        "export KEYTURN_URL=": Needs.STAND_IN,
        "state=": Needs.NOTHING,
        "(umask 077; gcloud auth print-identity-token ": Needs.STAND_IN,
        "keyturn group create ": Needs.NOTHING,
        "keyturn client add ": Needs.NOTHING,
        "keyturn device init ": Needs.NOTHING,
        "id_token | keyturn login": Needs.STAND_IN,
        "keyturn device invite ": Needs.NOTHING,
        "keyturn device join ": Needs.NOTHING,
        "keyturn rotate ": Needs.NOTHING,
        "keyturn inbox ": Needs.NOTHING,
        "keyturn ack ": Needs.NOTHING,
        "keyturn check ": Needs.NOTHING,
    },
}
"""Each line of a section by its beginning, in order."""
PRINTED = {"CODE": ("keyturn device invite ", "code"), "ROTATION": ("keyturn rotate ", "rotation")}
"""Words in capitals that stand for a value, the line that prints it, and its name there."""


def shell_lines(number: int) -> list[str]:
    """Return the shell lines of a section, each with the lines that continue it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", section(read("deploy.md"), number), flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).splitlines(keepends=True)
    return re.findall(r"(?:.*[\\|]\n)*.*\n", "".join(line for line in lines if not line.startswith("#")))


def needs(number: int, line: str) -> Needs:
    (found,) = [need for beginning, need in LINES[number].items() if line.startswith(beginning)]
    return found


@pytest.mark.parametrize("number", LINES)
def test_each_line_is_here_with_what_it_needs(number: int) -> None:
    lines = shell_lines(number)
    assert len(lines) == len(LINES[number])
    for line, beginning in zip(lines, LINES[number], strict=True):
        assert line.startswith(beginning), line


def test_the_lines_that_do_not_run_are_those_that_change_the_project() -> None:
    left_out = [
        line.split()[:3] for number in LINES for line in shell_lines(number) if needs(number, line) is Needs.CLOUD
    ]
    assert left_out == [["terraform", "-chdir=terraform", "init"], ["terraform", "-chdir=terraform", "apply"]]


@pytest.mark.parametrize("number", LINES)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_line_is_one_command_of_a_posix_shell(number: int, shell: str) -> None:
    for line in shell_lines(number):
        program = shutil.which(shell) or shell
        done = subprocess.run([program, "-n", "-c", line], capture_output=True, text=True, check=False)  # noqa: S603 - the page's own line
        assert (done.returncode, done.stderr) == (0, ""), line


# --- §2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a clone with this environment in place of the one that `make` would create."""
    folder = clone(tmp_path_factory.mktemp("deploy") / "clone")
    environment = folder / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    (environment / ".local").touch()
    for path in ("requirements/local.txt", "pyproject.toml", ".venv/pyvenv.cfg"):
        os.utime(folder / path, (0, 0), follow_symlinks=False)
    return folder


def exported(folder: Path, lines: list[str]) -> Mapping[str, str]:
    """Return the variables for terraform after these lines."""
    script = "".join(["set -e\nexport PROJECT=my-keyturn REGION=europe-west1\n", *lines, "env -0\n"])
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    done = subprocess.run(  # noqa: S603 - the page's own lines
        ["/bin/sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    variables = dict(item.split("=", 1) for item in done.stdout.split("\0") if item)
    return {name.removeprefix("TF_VAR_"): value for name, value in variables.items() if name.startswith("TF_VAR_")}


def map_of(value: str) -> dict[str, Any]:
    """Return a variable as terraform reads it from the environment, with its strings in their quotes."""
    parsed: dict[str, Any] = hcl2.loads(f"value = {value}\n")["value"]
    return parsed


def test_the_variables_are_those_of_the_terraform(folder: Path) -> None:
    runnable = [line for line in shell_lines(2) if needs(2, line) is not Needs.CLOUD]
    variables = exported(folder, runnable)
    declared = set(re.findall(r'^variable "(\w+)"', (ROOT / "terraform" / "variables.tf").read_text(), re.MULTILINE))
    assert variables.keys() <= declared
    assert (variables["project"], variables["region"], variables["stage"]) == (PROJECT, "europe-west1", "trial")
    assert map_of(variables["operators"]) == {"you": '"user:you@example.com"'}
    # `make package` prints the path of the archive and nothing else.
    assert Path(variables["archive"]).read_bytes() == archive(ROOT)


def test_the_attestations_are_settings_that_their_stage_takes(folder: Path) -> None:
    lines = [line for line in shell_lines(2) if "TF_VAR_attestations" in line]
    stages = [Stage.TRIAL, Stage.PRODUCTION, Stage.PRODUCTION]
    for line, stage in zip(lines, stages, strict=True):
        ((kind, quoted),) = map_of(exported(folder, [line])["attestations"]).items()
        settings = {name: value.strip('"') for name, value in quoted.items()}
        identity = {"KEYTURN_IDENTITY": "firebase", "KEYTURN_FIREBASE_PROJECT": PROJECT}
        proofs = proofs_from_environment({**settings, **identity, "KEYTURN_ATTESTATIONS": kind}, stage)
        assert proofs.attestations == (kind,)


# --- §3


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "machine", authoriser="attested_admin")
    machine.folder.mkdir()
    machine.start()
    machine.wait_until_up()
    yield machine
    machine.end()


def script_of(lines: list[str], platform: str) -> str:
    """Return a script of the page's lines. It names the line that it ended at."""
    parts = ["set -e; exec >&2; trap 'echo \"ended at: $line\"' EXIT\n"]
    for line in lines:
        command = re.sub(rf"\b({'|'.join(PRINTED)})\b", r'"$\1"', line.replace(ADDRESS, platform))
        printed = [(word, name) for word, (beginning, name) in PRINTED.items() if line.startswith(beginning)]
        for word, name in printed:
            command = (
                f"{{\n{command}}} >printed; {word}=$(sed -n 's/^{name}  *\\([^ ]*\\).*/\\1/p' printed | head -n 1)\n"
            )
        parts += [f"line={shlex.quote(line)}\n", command]
    return "".join([*parts, "line='the last one'\n"])


@pytest.mark.tier("curl")
def test_the_first_rotation_runs_as_written(folder: Path, tmp_path: Path, machine: Machine) -> None:
    operator_token = read_token(machine.url, machine.environment)

    def id_token(user: str) -> str:
        answer = ApiClient(machine.url).operator("POST", "/id_tokens", operator_token, {"user": user})
        return str(answer["id_token"])

    tokens = {"auth print-access-token": ACCESS_TOKEN, "auth print-identity-token": operator_token}
    output = {"-chdir=terraform output -raw base_url": machine.url}
    write_programs(tmp_path / "google", {"gcloud": tokens, "terraform": output})
    platform = IdentityPlatform(PROJECT, id_token)
    platform.server.start()
    home = tmp_path / "home"
    home.mkdir()
    programs = f"{tmp_path / 'google'}:{os.environ['PATH']}"
    environment = {"PATH": programs, "HOME": str(home), "PROJECT": PROJECT, "TERM": "dumb"}
    try:
        script = script_of(shell_lines(3), platform.server.url)
        done = Reader(QUESTIONS).run(["/bin/sh", "-c", script], environment, folder)
    finally:
        platform.server.stop()
    assert done.returncode == 0, done.stderr
    assert "ended at: the last one" in done.stderr
    assert re.search(r"^accepted +yes", done.stderr, re.MULTILINE)
    assert {PASSWORD, QUESTIONS["Passphrase of this device: "]} & set(done.stderr.splitlines()) == set()
    assert len((folder / "acme.secret").read_text().strip()) == 43
