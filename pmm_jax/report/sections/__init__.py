"""Sections of a run's report; a new one is a module here, its template beside it, and a line."""

from pmm_jax.report.run_data import RunData
from pmm_jax.report.section import Section
from pmm_jax.report.sections import (
    attention,
    confusions,
    curves,
    distances,
    embedding_map,
    provenance,
    rank_lists,
    result,
)

SECTIONS: tuple[Section[RunData], ...] = (
    Section("result", "Result", result.build),
    Section("curves", "Training", curves.build),
    Section("attention", "Where it looks", attention.build),
    Section("rank_lists", "What it finds", rank_lists.build),
    Section("confusions", "What it confuses", confusions.build),
    Section("distances", "Distances", distances.build),
    Section("embedding_map", "Map of the embeddings", embedding_map.build),
    Section("provenance", "How it was made", provenance.build),
)
"""In the page's order."""
