from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.simulation.run import new_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.run import Template


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """Return a deployment with people and clients, from which every run starts."""
    template = new_template()
    yield template
    shutil.rmtree(template.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def crowd() -> Iterator[Template]:
    """Return a deployment with many people."""
    template = new_template([f"admin-{number}" for number in range(16)])
    yield template
    shutil.rmtree(template.folder, ignore_errors=True)
