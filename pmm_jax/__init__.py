"""Progressive Multi-stage Feature Mix for person re-identification, in JAX.

model = pmm_jax.load("runs/demo")           # a run of `pmm train`
model = pmm_jax.load_torch("FILE.pth.tar")  # a checkpoint of the PyTorch release, or of BDB
embeddings = model.embed(["a.jpg", "b.jpg"])

metrics = pmm_jax.train(pmm_jax.Config(...), Path("runs/mine"))
metrics = pmm_jax.evaluate("runs/mine")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmm_jax import evaluation
    from pmm_jax.api import Model, evaluate, load, load_torch
    from pmm_jax.config import Config
    from pmm_jax.methods import METHODS
    from pmm_jax.training.loop import train

__version__ = "0.1.0"
__all__ = [
    "METHODS",
    "Config",
    "Model",
    "__version__",
    "evaluate",
    "evaluation",
    "load",
    "load_torch",
    "train",
]

# Late, because reading a config or ranking saved embeddings needs no jax.
_PLACES = {
    "METHODS": "pmm_jax.methods",
    "Config": "pmm_jax.config",
    "Model": "pmm_jax.api",
    "evaluate": "pmm_jax.api",
    "load": "pmm_jax.api",
    "load_torch": "pmm_jax.api",
    "train": "pmm_jax.training.loop",
}
"""Module that defines each public name."""


def __getattr__(name: str) -> Any:
    if name == "evaluation":
        return import_module("pmm_jax.evaluation")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module pmm_jax has no attribute {name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
