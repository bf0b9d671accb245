"""docs/deploy.md speaks of variables, outputs, resources and commands that there are, and its sum is one."""

import copy
import re
import shlex
from typing import Any

import pytest
import typer
from keyturn.cli import main as cli
from keyturn.cli.operator_token import token_path
from keyturn.domain.policy import Policy
from keyturn.entry.config.proof_settings import ProofSettings

from tests.terraform.reading import ROOT, literals, read

PAGE = (ROOT.parent / "docs" / "deploy.md").read_text()
RUNBOOK = (ROOT.parent / "docs" / "runbook.md").read_text()


def _commands() -> list[str]:
    """Return the command lines of `keyturn` in the pages: those in blocks, and those between backticks."""
    lines = [
        line
        for page in (PAGE, RUNBOOK)
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    inline = [words for page in (PAGE, RUNBOOK) for words in re.findall(r"`(keyturn [^`]+)`", page)]
    found = [re.search(r"(?:^|[|] *)(keyturn [^#|<>]+)", line) for line in (*lines, *inline)]
    return sorted({match[1].strip().replace("…", "x") for match in found if match})


@pytest.fixture(scope="module")
def root() -> Any:  # noqa: ANN401 - the framework keeps a click of its own
    app = copy.copy(cli.app)
    app.registered_commands, app.registered_groups = [*app.registered_commands], [*app.registered_groups]
    cli.register_local(app)
    return typer.main.get_command(app)


@pytest.mark.parametrize("line", _commands())
def test_every_command_that_it_tells_is_one_that_there_is(root: Any, line: str) -> None:  # noqa: ANN401 - as above
    words = shlex.split(line)[1:]
    command = root
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command is not root, line
    assert not (words and hasattr(command, "commands")), line
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options, line


def test_every_variable_that_it_sets_is_declared_and_every_required_one_is_set() -> None:
    variables = read().variables
    required = {name for name, body in variables.items() if "default" not in body}
    assert required <= set(re.findall(r"TF_VAR_(\w+)", PAGE)) <= set(variables)


def test_every_output_that_it_reads_is_declared() -> None:
    assert set(re.findall(r"output -raw (\w+)", PAGE)) <= set(read().outputs)


def test_the_teardown_names_every_key_that_is_never_destroyed() -> None:
    keys = {name for type_, name in read().resources if type_ == "google_kms_crypto_key"}
    assert set(re.findall(r"google_kms_crypto_key\.(\w+)", PAGE)) == keys


def test_it_names_what_terraform_names() -> None:
    resources = read().resources
    ring = literals(resources["google_kms_key_ring", "this"]["name"])
    dead = literals(resources["google_pubsub_subscription", "dead"]["name"])
    assert f"--keyring {ring} --key mac" in PAGE
    assert f"subscriptions pull {dead}" in PAGE


ALERTS = {
    "dead_letters": "dead letters and dropped messages",
    "failed_sweeps": "failed sweeps",
    "late_promotions": "late promotions",
    "kms_errors": "KMS errors",
    "unfinished_cutover": "an old secret that is in use near its end",
    "leaks": "a sighted secret that was revoked, a retired one that somebody presented",
}
"""What the page says of each alert."""


def test_it_tells_of_every_alert() -> None:
    assert set(ALERTS) == {name for type_, name in read().resources if type_ == "google_monitoring_alert_policy"}
    assert [told for told in ALERTS.values() if told not in PAGE] == []


def test_every_setting_that_it_names_is_one_that_a_door_or_the_command_line_reads() -> None:
    named = {name.rstrip("_") for name in re.findall(r"KEYTURN_(\w+)", PAGE)} - {"", "POLICY"}
    policies = {f"POLICY_{name.upper()}" for name in Policy.__dataclass_fields__}
    proofs = {name.upper() for name in ProofSettings.__dataclass_fields__}
    assert named - policies - proofs == {"URL"}


def test_the_token_file_is_where_the_command_line_looks() -> None:
    token = token_path("https://europe-west1-p.cloudfunctions.net", {"XDG_STATE_HOME": "/state"})
    assert re.fullmatch(r"/state/keyturn/operator-[0-9a-f]{16}\.token", str(token))
    assert 'operator-$(printf %s "$KEYTURN_URL" | sha256sum | cut -c1-16).token' in PAGE


def test_the_costs_add_up() -> None:
    amounts = [float(found) for found in re.findall(r"\| \**(\d+\.\d\d)\** \|$", PAGE, re.MULTILINE)]
    assert round(sum(amounts[:-1]), 2) == amounts[-1]
