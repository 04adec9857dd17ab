"""The page that lists every field of a config."""

from benchmarks.tools.config_reference import PAGE, page
from pmm_jax.config import Config
from pmm_jax.fields import walk


def test_the_page_is_the_codes() -> None:
    made = page()
    assert made == PAGE.read_text(encoding="utf-8"), (
        "run python -m benchmarks.tools.config_reference"
    )
    assert made.count("\n| `") == len(list(walk(Config)))
