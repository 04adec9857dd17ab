"""The list of mutants, by part of the package."""

from tests.mutants.changes import (
    calibration,
    comparison,
    config,
    data,
    embedding,
    evaluation,
    export,
    ingredients,
    methods,
    mixing,
    model,
    report,
    reranking,
    results,
    search,
    serve,
    training,
    workdir,
)
from tests.mutants.mutant import Mutant

MUTANTS: list[Mutant] = [
    *mixing.MUTANTS,
    *methods.MUTANTS,
    *model.MUTANTS,
    *training.MUTANTS,
    *workdir.MUTANTS,
    *data.MUTANTS,
    *evaluation.MUTANTS,
    *comparison.MUTANTS,
    *report.MUTANTS,
    *results.MUTANTS,
    *reranking.MUTANTS,
    *serve.MUTANTS,
    *export.MUTANTS,
    *calibration.MUTANTS,
    *search.MUTANTS,
    *embedding.MUTANTS,
    *config.MUTANTS,
    *ingredients.MUTANTS,
]
