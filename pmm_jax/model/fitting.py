"""Tensors of a file into the arrays of a network, every name accounted for."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.errors import UserError
from pmm_jax.model.torch_names import Path, from_torch, torch_shape

LISTED = 20
"""Names of each fault that a message lists; a file of another network would fill the screen."""


def fit(
    label: str,
    tensors: Mapping[str, np.ndarray],
    network: str,
    params: dict,
    stats: dict,
    name_of: Callable[[Path], str],
    mend: str,
) -> tuple[dict, dict]:
    """Copies of two trees with every value replaced by the tensor of that name.

    Args:
        label: what to call the tensors in a message.
        tensors: by PyTorch's names, in PyTorch's shapes, without prefixes and batch counters.
        network: what to call params and stats in a message.
        params: nested dicts of arrays (or of shapes with types).
        stats: BatchNorm's running statistics, likewise.
        name_of: PyTorch's name of a path in the trees.
        mend: end of the message where they don't fit.

    Raises:
        UserError: names are missing, surplus or misshapen, or values aren't finite floating point.
    """
    leaves = {path: leaf for tree in (params, stats) for path, leaf in flatten_dict(tree).items()}
    expected = {name_of(path): torch_shape(path, leaf.shape) for path, leaf in leaves.items()}
    common = [name for name in expected if name in tensors]
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "surplus": [name for name in tensors if name not in expected],
        "misshapen": [
            f"{name} {tensors[name].shape} for {expected[name]}"
            for name in common
            if tensors[name].shape != expected[name]
        ],
    }
    found = [f"{len(names)} {fault} ({_listed(names)})" for fault, names in faults.items() if names]
    if found:
        raise UserError(f"{label} doesn't fit {network}: {'; '.join(found)}; {mend}")
    for name in common:
        if tensors[name].dtype.kind in "biuc" or not _finite(tensors[name]):
            raise UserError(
                f"{label}: {name} holds {tensors[name].dtype} that isn't finite floating point; "
                f"{mend}"
            )

    def filled(tree: dict) -> dict:
        return unflatten_dict(
            {
                # A copy, so that no array shares memory with the file's tensors.
                path: jnp.array(from_torch(path, tensors[name_of(path)]), leaf.dtype, copy=True)
                for path, leaf in flatten_dict(tree).items()
            }
        )

    return filled(params), filled(stats)


def without_wrapping(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without DataParallel's prefix, PyTorch's batch counters and an ImageNet classifier."""
    named = {name.removeprefix("module."): value for name, value in tensors.items()}
    return {
        name: value
        for name, value in named.items()
        if name not in ("fc.weight", "fc.bias") and not name.endswith(".num_batches_tracked")
    }


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _finite(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(values.astype(np.float32)).all())
