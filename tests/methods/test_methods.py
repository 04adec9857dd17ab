"""The list of methods, and the paper's Table 1 made from it."""

from pathlib import Path

import pytest

from pmm_jax.methods import METHODS, comparison_table


def test_every_method_is_known_by_its_own_name() -> None:
    assert [method.name for method in METHODS.values()] == list(METHODS)


@pytest.mark.parametrize(
    ("name", "level", "attentive", "mixes", "mixes_label"),
    [
        # The rows of the paper's Table 1.
        ("bdb", "feature", False, False, False),
        ("cutmix", "image", False, True, True),
        ("a_cutmix", "image", True, True, True),
        ("pmm", "feature", True, True, False),
        # By section 3.2.2: "compared with CutOut, we introduce the negative features".
        ("cutout", "feature", True, False, False),
        ("random_mix", "feature", False, True, False),
        ("easy_mix", "feature", True, True, False),
        ("none", "nothing", False, False, False),
        ("baseline", "nothing", False, False, False),
    ],
)
def test_properties(name: str, level: str, attentive: bool, mixes: bool, mixes_label: bool) -> None:
    method = METHODS[name]
    assert method.level == level
    assert (method.attentive, method.mixes, method.mixes_label) == (attentive, mixes, mixes_label)


def test_the_table_in_the_docs_is_the_codes() -> None:
    page = Path(__file__).parents[2] / "docs/guides/methods.md"
    assert comparison_table() in page.read_text(encoding="utf-8")
