"""The list of mutants, by part of the package."""

from tests.mutants.changes import (
    comparison,
    config,
    data,
    evaluation,
    mixing,
    model,
    training,
)
from tests.mutants.mutant import Mutant

MUTANTS: list[Mutant] = [
    *mixing.MUTANTS,
    *model.MUTANTS,
    *training.MUTANTS,
    *data.MUTANTS,
    *evaluation.MUTANTS,
    *comparison.MUTANTS,
    *config.MUTANTS,
]
