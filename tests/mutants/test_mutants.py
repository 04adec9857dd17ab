"""The list of mutants fits the checkout."""

from tests.mutants.changes import MUTANTS
from tests.mutants.checkout import ROOT


def test_every_mutant_applies_and_compiles() -> None:
    for mutant in MUTANTS:
        text = mutant.changed((ROOT / mutant.file).read_text(encoding="utf-8"))
        compile(text, mutant.file, "exec")


def test_no_mutant_is_listed_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 150


def test_every_test_that_should_catch_one_is_there() -> None:
    for test in {test for mutant in MUTANTS for test in mutant.tests}:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), test
