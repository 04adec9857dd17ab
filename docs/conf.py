"""Sphinx's settings: `make docs` builds the site from this folder, without a network."""

import os
from pathlib import Path

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
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
