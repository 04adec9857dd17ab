"""Tensors of a file into the arrays of a network, every name accounted for."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.errors import UserError
from pmm_jax.files import printable
from pmm_jax.model.torch_names import from_torch, torch_shape
from pmm_jax.model.unwrapping import StateDict, guess, is_head, listed

_log = logging.getLogger(__name__)

LISTED = 20
"""Names of each fault that a message lists; a file of another network would fill the screen."""


def match_state_dict(  # noqa: PLR0913
    label: str,
    state: StateDict,
    network: str,
    params: dict[str, Any],
    batch_stats: dict[str, Any],
    hint: str,
    is_unused: Callable[[str], bool] = is_head,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Copies of two trees with every value replaced by the tensor of that name.

    Args:
        label: what to call the tensors in a message.
        state: the file's network.
        network: what to call params and batch_stats in a message.
        params: nested dicts of arrays (or of shapes with types).
        batch_stats: BatchNorm's running statistics, likewise.
        hint: end of the message where they don't fit.
        is_unused: whether a module that isn't expected, by the first word of its name, is left out
            with a line in the log; all others are an error.

    Raises:
        UserError: names are missing, surplus or misshapen, or values aren't finite floating point.
    """
    tensors = state.tensors
    leaves = {
        path: leaf for tree in (params, batch_stats) for path, leaf in flatten_dict(tree).items()
    }
    expected = {state.name_of(path): torch_shape(path, leaf.shape) for path, leaf in leaves.items()}
    common = [name for name in expected if name in tensors]
    surplus = state.surplus(expected)
    faults = {
        "missing": [state.prefix + name for name in expected if name not in tensors],
        "surplus": [name for name, module in surplus if not is_unused(module)],
        "misshapen": [
            f"{state.prefix + name} {tensors[name].shape} for {expected[name]}"
            for name in common
            if tensors[name].shape != expected[name]
        ],
    }
    found = [
        f"{len(names)} {fault} ({listed(names, LISTED)})"
        for fault, names in faults.items()
        if names
    ]
    if found:
        other = guess([*tensors, *state.beside])
        looks = f" (it looks like {other})" if other else ""
        raise UserError(f"{label} doesn't fit {network}{looks}: {'; '.join(found)}; {hint}")
    for name in common:
        fault = _fault(name, tensors[name])
        if fault:
            raise UserError(f"{label} holds {fault} in {printable(state.prefix + name)}; {hint}")
    if surplus:
        modules = Counter(module for _, module in surplus)
        counted = ", ".join(f"{printable(module)} ({n})" for module, n in modules.items())
        _log.warning("%s: left out what isn't needed (with tensors): %s", label, counted)

    def filled(tree: dict[str, Any]) -> dict[str, Any]:
        return unflatten_dict(
            {
                # A copy, so that no array shares memory with the file's tensors.
                path: jnp.array(
                    from_torch(path, tensors[state.name_of(path)]), leaf.dtype, copy=True
                )
                for path, leaf in flatten_dict(tree).items()
            }
        )

    return filled(params), filled(batch_stats)


def _fault(name: str, values: np.ndarray) -> str:
    """Fault of a tensor's values; empty if there is none."""
    if values.dtype.kind != "f":
        return f"{values.dtype} in place of floating point"
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        return "NaN, infinity, or values that float32 can't hold"
    if name.endswith("running_var") and (values < 0).any():
        return "variances below 0"
    return ""
