"""docs/reference/ is what the code says, docs/results.md what the file of figures says."""

from types import ModuleType

import pytest

from benchmarks.tools import command_reference, config_reference, results_page
from pmm_jax.cli.main import VERBS
from pmm_jax.config import Config
from pmm_jax.fields import walk


@pytest.mark.parametrize("tool", [command_reference, config_reference, results_page])
def test_the_page_is_up_to_date(tool: ModuleType) -> None:
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), (
        f"run python -m benchmarks.tools.{tool.__name__.rpartition('.')[2]}"
    )


def test_nothing_is_left_out() -> None:
    assert config_reference.page().count("\n| `") == len(list(walk(Config)))
    assert command_reference.page().count("\n## ") == len(VERBS)
