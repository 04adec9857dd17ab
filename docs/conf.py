"""Sphinx's settings: `make docs` builds the site from this folder, without a network."""

import os
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import pmm_jax

# For the notebook's process, where the package is not installed.
os.environ["PYTHONPATH"] = str(Path(pmm_jax.__file__).parents[1])

project = "pmm_jax"
author = "the pmm_jax authors"
copyright = "the pmm_jax authors, Apache-2.0"
version = release = pmm_jax.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = f"pmm_jax {version}"
exclude_patterns = ["_build"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# The notebook is run anew with every build, on the CPU.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_type_aliases = {"npt.ArrayLike": "numpy.typing.ArrayLike"}
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
# `Model.embed` in a docstring is a link where the page has it, and code in any case.
default_role = "py:obj"
# "(N, D) float32: one a row" is a sentence, not a type and its description.
napoleon_use_rtype = False


def keep_sentences(  # noqa: D103
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    # Napoleon takes what stands before a colon in the first line of an attribute for its type.
    if what in ("attribute", "property"):
        lines.insert(0, "\\ ")  # nothing, in reStructuredText


def setup(app: Sphinx) -> None:  # noqa: D103
    app.connect("autodoc-process-docstring", keep_sentences, priority=400)
