"""docs/deploy.md names only variables, outputs and resources that exist, and its costs add up."""

import re

from keyturn.cli.operator_token import token_path
from keyturn.domain.policy import Policy
from keyturn.entry.config.proof_settings import ProofSettings

from tests.terraform.reading import ROOT, literals, read

PAGE = (ROOT.parent / "docs" / "deploy.md").read_text()


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
    "unfinished_cutover": "an old secret that is still used near the end of its grace window",
    "ending_client": "a client whose credentials end within two weeks",
    "leaks": "a leaked secret that was revoked, or a retired secret that was presented",
}
"""The words of the page for each alert."""


def test_it_describes_every_alert() -> None:
    assert set(ALERTS) == {name for type_, name in read().resources if type_ == "google_monitoring_alert_policy"}
    text = " ".join(PAGE.split())  # a phrase may be wrapped
    assert [words for words in ALERTS.values() if words not in text] == []


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
