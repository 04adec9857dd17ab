"""Training methods, a class each: PMM and what it is compared with (the paper's Tables 1 and 3).

A new one is a subclass of `Method` in a file of its own and a line in pmm_jax/registry.py; or, from
outside the package, a subclass with the decorator `register`, in a config file say.
"""

import jax.numpy as jnp

from pmm_jax.config import Config
from pmm_jax.fields import check_choice
from pmm_jax.methods.method import (
    Method,
    MixedTarget,
    SaliencyFn,
    StageOutputs,
    Target,
    TrainBatch,
    check_blocks,
)
from pmm_jax.model.pmm import Network, create_network
from pmm_jax.registry import METHODS

__all__ = [
    "METHODS",
    "Method",
    "MixedTarget",
    "SaliencyFn",
    "StageOutputs",
    "Target",
    "TrainBatch",
    "check_blocks",
    "comparison_table",
    "create_model",
    "get_method",
    "register",
]

register = METHODS.register


def get_method(config: Config) -> type[Method]:
    """The class that a config names.

    Raises:
        UserError: there is none of that name.
    """
    check_choice("method.name", config.method.name, METHODS)
    found: type[Method] = METHODS[config.method.name]
    return found


def create_model(config: Config, num_ids: int, param_dtype: jnp.dtype = jnp.float32) -> Network:
    """The network that a config's method trains, for that many training identities."""
    kind = get_method(config).network
    return create_network(config.model, kind, num_ids, param_dtype, config.method.stages)


def comparison_table() -> str:
    """The paper's Table 1 as Markdown, with the methods that it doesn't have."""
    lines = [
        "| `method.name` | method | level | attentive | mixes | mixes label |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        marks = (
            "yes" if mark else "no" for mark in (method.attentive, method.mixes, method.mixes_label)
        )
        lines.append(f"| `{name}` | {method.title} | {method.level} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"
