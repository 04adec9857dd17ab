"""The sections of the report; a new one is a module here, its template beside it, and a line."""

from pmm_jax.report.section import Section
from pmm_jax.report.sections import curves, result

SECTIONS = (
    Section("result", "Result", result.build),
    Section("curves", "Training", curves.build),
)
"""In the page's order."""
