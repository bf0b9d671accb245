"""docs/settings.md is what the code says, and complete."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.policy import Policy
from keyturn.entry.config.proof_settings import ProofSettings, proofs_from_environment
from keyturn.entry.config.reference import CLOUD, COMMAND_LINE, DEPLOYMENT, PROOFS, SECTIONS, Setting, settings_page
from keyturn.entry.config.settings import Cloud, Settings, Stage, from_environment
from keyturn.entry.config.variables import NAMES, POLICIES, PREFIX

from tests.docs.pages import PAGES, ROOT, read

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_SET_BY_A_VARIABLE = {
    Settings: {"policy", "cloud", "suspicious"},  # KEYTURN_POLICY_…, the section of the cloud, all emulators together
    Cloud: set[str](),
    ProofSettings: {"emulated"},
}
ANOTHER_VALUE = {
    "KEYTURN_STAGE": "trial",
    "KEYTURN_AUTHORISER": "unsafe_no_attestation",
    "KEYTURN_TOKEN_ALGORITHM": "RS256",
    "KEYTURN_BASE_URL": "https://keys.example/keyturn",
    "KEYTURN_RELAYS": "wss://relay.example",
    "KEYTURN_LISTEN": "0",
    "KEYTURN_IDENTITY": "firebase",
    "KEYTURN_ATTESTATIONS": "dev_attest webauthn",
    "KEYTURN_APP_ATTEST_ENVIRONMENT": "development",
}
TRIAL = {"KEYTURN_PROJECT": "p", "KEYTURN_TRIAL_PROJECT": "p"}
WHOLE_PROOFS = {
    "KEYTURN_FIREBASE_PROJECT": "p",
    "KEYTURN_WEBAUTHN_RP_ID": "example.com",
    "KEYTURN_WEBAUTHN_ORIGINS": "https://example.com",
    "KEYTURN_WEBAUTHN_ROOTS": "roots",
}


def test_the_page_is_up_to_date() -> None:
    assert read("settings.md") == settings_page(), "run `make docs`"


@pytest.mark.parametrize("section", [DEPLOYMENT, CLOUD, PROOFS], ids=lambda section: section.title)
def test_every_field_has_its_variable(section: Any) -> None:  # noqa: ANN401 - one of our sections
    named = [setting.field for setting in section.settings]
    assert sorted(named) == sorted({item.name for item in fields(section.owner)} - NOT_SET_BY_A_VARIABLE[section.owner])


def settings_of(environment: Mapping[str, str]) -> object:
    return from_environment({"KEYTURN_STAGE": "local", **environment})


def cloud_of(environment: Mapping[str, str]) -> object:
    return from_environment({"KEYTURN_STAGE": "local", "KEYTURN_PROJECT": "p", **environment}).cloud


def proofs_of(environment: Mapping[str, str]) -> object:
    return proofs_from_environment({**WHOLE_PROOFS, **environment}, Stage.LOCAL)


READERS = {Settings: settings_of, Cloud: cloud_of, ProofSettings: proofs_of}


@pytest.mark.parametrize(
    ("owner", "setting"),
    [(section.owner, setting) for section in SECTIONS if section.owner for setting in section.settings],
    ids=lambda value: value.variable if isinstance(value, Setting) else "",
)
def test_each_variable_sets_the_field_that_the_page_describes(owner: type, setting: Setting) -> None:
    extra = TRIAL if setting.variable == "KEYTURN_STAGE" else {}
    value = ANOTHER_VALUE.get(setting.variable, "another")
    before, after = (READERS[owner]({**extra, **more}) for more in ({}, {setting.variable: value}))
    changed = {item.name for item in fields(owner) if getattr(before, item.name) != getattr(after, item.name)}
    assert setting.field in changed
    assert changed <= {setting.field, "suspicious"}


def test_every_variable_that_the_project_names_is_on_the_page() -> None:
    sources = [
        path
        for folder in ("shared", "functions", "terraform", "docs", "bench")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".tf", ".md"}
    ]
    texts = [path.read_text("utf-8") for path in (*sources, *PAGES, ROOT / "Makefile", ROOT / "main.py")]
    named = {name for text in texts for name in re.findall(r"\bKEYTURN_[A-Z_]*[A-Z]\b", text)}
    policies = {f"KEYTURN_POLICY_{name.upper()}" for name in Policy.__dataclass_fields__}
    described = {setting.variable for section in SECTIONS for setting in section.settings}
    assert named - policies - described - {"KEYTURN_POLICY"} == set()


def test_the_page_has_all_variables_that_are_accepted() -> None:
    described = {setting.variable for section in SECTIONS for setting in section.settings}
    policies = {f"{PREFIX}{name}" for name in POLICIES}
    own = {name for name in described if name.startswith(PREFIX)}
    assert {f"{PREFIX}{name}" for name in NAMES} == own | policies


def test_the_command_lines_variables_are_read_there() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "shared" / "keyturn" / "cli").rglob("*.py"))
    assert [item.variable for item in COMMAND_LINE.settings if item.variable not in source] == []
