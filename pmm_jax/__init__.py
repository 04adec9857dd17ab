"""Progressive Multi-stage Feature Mix for person re-identification, in JAX.

model = pmm_jax.load("runs/demo")           # a run of train.py
model = pmm_jax.load_torch("FILE.pth.tar")  # a checkpoint of the PyTorch release, or of BDB
embeddings = model.embed(["a.jpg", "b.jpg"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmm_jax.api import Model, load, load_torch

__all__ = ["Model", "load", "load_torch"]


def __getattr__(name: str) -> Any:
    # Late, because ranking saved embeddings and reading configs need no jax.
    if name == "evaluation":
        return import_module("pmm_jax.evaluation")
    if name in __all__:
        from pmm_jax import api

        return getattr(api, name)
    raise AttributeError(f"module pmm_jax has no attribute {name}")
