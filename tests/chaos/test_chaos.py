"""A few trials of every fault; `make chaos` runs many."""

import pytest

from tests.chaos.__main__ import FAULTS, attempt
from tests.chaos.faults import Fault
from tests.chaos.lab import Lab, Skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("chaos"), seed=1)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.few], ids=lambda fault: fault.name)
def test_nothing_is_lost_and_nothing_is_wrong(lab: Lab, fault: Fault) -> None:
    for number in range(fault.few):
        try:
            trial = attempt(lab, fault, number, fault.few)
        except Skip as reason:
            pytest.skip(str(reason))
        assert (trial.lost, trial.wrong) == ([], []), f"trial {number}: {trial.about}"
