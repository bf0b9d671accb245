"""Who may do what, as the terraform says: every grant of every IAM resource, through the modules, as plain triples.

Evaluates only what grants are written with: literals, traversals, templates and for_each over a map. Whatever it cannot
follow stays as it stands in the text, so that it is seen in the table and not lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.terraform.reading import Body, Folder, literal, read

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = {
    "google_artifact_registry_repository_iam_member": "repository",
    "google_cloud_run_v2_service_iam_member": "name",
    "google_kms_crypto_key_iam_member": "crypto_key_id",
    "google_project_iam_member": "project",
    "google_pubsub_subscription_iam_member": "subscription",
    "google_pubsub_topic_iam_member": "topic",
    "google_secret_manager_secret_iam_member": "secret_id",
    "google_service_account_iam_member": "service_account_id",
    "google_storage_bucket_iam_member": "bucket",
}
"""What each IAM resource grants access to. One that is not here is refused: it would be a grant that nobody sees."""

_ONE_DATABASE = re.compile(r'resource\.name == "projects/\$\{var\.project\}/databases/([a-z]+)"')
_TEMPLATE = re.compile(r"\$\{([^{}]*)\}")
_INDEX = re.compile(r'\["?([^"\]]*)"?\]')


@dataclass(frozen=True, order=True)
class Grant:
    """`who` (a door, or an account by its name) has `role` at `where` ("database control", "key mac", …)."""

    who: str
    role: str
    where: str


@dataclass(frozen=True)
class Scope:
    """One folder under evaluation: the inputs of its call, and which call of the root it belongs to."""

    folder: Folder
    inputs: Body = field(default_factory=dict)
    door: str = ""
    each: Body = field(default_factory=dict)

    def value(self, expression: Any) -> Any:  # noqa: ANN401 - an expression's value may be of any kind
        """Evaluate; what cannot be followed comes back as its text."""
        if isinstance(expression, dict):
            return {key.strip('"'): self.value(item) for key, item in expression.items()}
        if isinstance(expression, list):
            return [self.value(item) for item in expression]
        if not isinstance(expression, str):
            return expression
        if expression.startswith('"'):
            return _TEMPLATE.sub(lambda found: str(self._followed(found[1])), literal(expression))
        return self._followed(expression.removeprefix("${").removesuffix("}"))

    def _followed(self, text: str) -> Any:  # noqa: ANN401 - the same
        if self.door and text == "google_service_account.this.member":
            return self.door
        root, _, rest = _INDEX.sub(lambda found: f"[{self._index(found[1])}]", text).partition(".")
        name, _, more = rest.partition(".")
        tree: Body = {"var": self.inputs, "local": self.folder.locals, "each": self.each}.get(root, {})
        if name not in tree:
            return f"${{{root}.{rest}}}" if root in {"var", "data"} else f"{root}.{rest}" if rest else text
        found = tree[name] if root != "local" else self.value(tree[name])
        return found[more] if more else found

    def _index(self, text: str) -> str:
        return str(self._followed(text)) if text.startswith("each.") else text

    def instances(self, body: Body) -> Iterator[Scope]:
        """Yield this scope once for each element of a body's for_each."""
        if "for_each" not in body:
            yield self
            return
        over = self.value(body["for_each"])
        items = over if isinstance(over, dict) else {str(over): f"each of {over}"}
        for key, item in items.items():
            yield Scope(self.folder, self.inputs, self.door, {"key": key, "value": item})


def grants(folder: Folder | None = None) -> set[Grant]:
    """Return every grant of the root (or of a folder given in its place); `ValueError` for one that cannot be read."""
    return set(_of_scope(Scope(folder or read())))


def _of_scope(scope: Scope) -> Iterator[Grant]:
    for (type_, _), body in scope.folder.resources.items():
        if "_iam_" in type_ and type_ != "google_project_iam_custom_role":
            if type_ not in TARGETS:
                raise ValueError(f"{type_} grants what this table cannot show")
            yield from (_grant(type_, one, body) for one in scope.instances(body))
    for name, call in scope.folder.modules.items():
        called = scope.folder.called(name)
        defaults = {key: scope.value(body["default"]) for key, body in called.variables.items() if "default" in body}
        given = {key: scope.value(value) for key, value in call.items() if key in called.variables}
        # A project's name is the same everywhere: it stays a name.
        inputs = {key: value for key, value in (defaults | given).items() if key != "project"}
        yield from _of_scope(Scope(called, inputs, scope.door or name))


def _grant(type_: str, scope: Scope, body: Body) -> Grant:
    where = _where(type_, scope, body)
    return Grant(_named(scope.value(body["member"])), scope.value(body["role"]), where)


def _where(type_: str, scope: Scope, body: Body) -> str:
    conditions = [scope.value(block["expression"]) for block in body.get("condition", [])]
    if type_ == "google_project_iam_member":
        only = [found[1] for condition in conditions if (found := _ONE_DATABASE.fullmatch(condition))]
        return f"database {only[0]}" if only else "project" if not conditions else f"project where {conditions[0]}"
    if type_ == "google_cloud_run_v2_service_iam_member":
        return f"door {scope.door}"
    if conditions:
        raise ValueError(f"{type_}: a condition that this table cannot show")
    kind = type_.removesuffix("_iam_member").rpartition("_")[2]
    return f"{kind} {_named(scope.value(body[TARGETS[type_]]))}"


def _named(text: str) -> str:
    """Shorten a traversal to the name of its resource; anything else (allUsers, a service agent) stays."""
    found = re.fullmatch(r"google_\w+\.(\w+)(\[\w+\])?\.\w+", text)
    return f"{found[1]}{found[2] or ''}" if found else text
