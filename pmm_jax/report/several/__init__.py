"""Sections of the comparison page of several runs."""

from pmm_jax.report.runs import Runs
from pmm_jax.report.section import Section
from pmm_jax.report.several import run_attention, run_configs, run_curves, run_queries, run_results

SECTIONS: tuple[Section[Runs], ...] = (
    Section("run_results", "Result", run_results.build),
    Section("run_curves", "Training", run_curves.build),
    Section("run_attention", "Where they look", run_attention.build),
    Section("run_queries", "What one finds and another does not", run_queries.build),
    Section("run_configs", "How they differ", run_configs.build),
)
"""In the page's order."""
