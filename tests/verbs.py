"""`pmm_jax.__main__` as a module: under its own name it would run as a program only once."""

import importlib.util
import sys
from pathlib import Path

NAME = "pmm_jax_verbs"
_SPEC = importlib.util.spec_from_file_location(
    NAME, Path(__file__).parents[1] / "pmm_jax" / "__main__.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
VERBS = importlib.util.module_from_spec(_SPEC)
sys.modules[NAME] = VERBS  # tyro looks up where a class comes from
_SPEC.loader.exec_module(VERBS)
