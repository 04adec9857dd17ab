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

    Args:
        config: of a run.

    Raises:
        UserError: there is none of that name.

    Example:
        >>> from pmm_jax.config import Config, MethodConfig
        >>> from pmm_jax.methods import get_method
        >>> method = get_method(Config(method=MethodConfig(name="cutmix")))
        >>> method.title, method.level, method.mixes_label
        ('CutMix', 'image', True)
    """
    check_choice("method.name", config.method.name, METHODS)
    found: type[Method] = METHODS[config.method.name]
    return found


def create_model(config: Config, num_ids: int, param_dtype: jnp.dtype = jnp.float32) -> Network:
    """The network that a config's method trains.

    Args:
        config: of a run.
        num_ids: training identities.
        param_dtype: of parameters.

    Example:
        >>> from pmm_jax.config import Config, MethodConfig
        >>> from pmm_jax.methods import create_model
        >>> network = create_model(Config(method=MethodConfig(name="pmm")), num_ids=751)
        >>> list(network.modules)
        ['trunk', 'stage1', 'part_block', 'stage2', 'stage3']
    """
    kind = get_method(config).network
    return create_network(config.model, kind, num_ids, param_dtype, config.method.stages)


def comparison_table() -> str:
    """The paper's Table 1 as Markdown, with the methods that it doesn't have.

    Example:
        >>> from pmm_jax.methods import comparison_table
        >>> print(comparison_table())
        | `method.name` | method | level | attentive | mixes | mixes label |
        |---|---|---|---|---|---|
        | `pmm` | A-Hard-Mix (PMM) | feature | yes | yes | no |
        ...
    """
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
