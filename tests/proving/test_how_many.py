"""The tables of attacks together: each row has a name of its own, and there are enough of them."""

from __future__ import annotations

from tests.functions import test_admin_proof as door
from tests.proving import test_attacks_on_devices as devices
from tests.proving import test_attacks_on_factors as factors
from tests.proving import test_attacks_on_proofs as proofs


def test_there_are_at_least_sixty_attacks_and_no_two_of_one_name() -> None:
    tables = (factors.ATTACKS, proofs.ATTACKS)
    names = [*([attack.name for attack in table] for table in tables), list(devices.ATTACKS), list(door.POSSESSION)]
    for table in [*names, list(factors.CHALLENGES), list(proofs.UNSEATED)]:
        assert len(table) == len(set(table))
    assert sum(map(len, names)) >= 100
