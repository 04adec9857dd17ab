"""Initial values of a network, sampled from the distributions that its modules declare."""

import zlib

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from pmm_jax.model.initializers import Declared
from pmm_jax.model.pmm import Network, Tree


def init_params(network: Network, seed: int) -> tuple[Tree, Tree]:
    """Parameters and fresh statistics of every part, on the host.

    Args:
        network: as `create_model` makes it.
        seed: of the sampling; each array has its own stream, (seed, name).

    Returns:
        params and batch_stats, nested dictionaries of NumPy arrays whose first keys are the parts.
    """

    def sample(path: tuple[str, ...], leaf: Declared) -> np.ndarray:
        rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
        return leaf.sample(rng, leaf.value.shape).astype(leaf.value.dtype)

    params, batch_stats = (
        unflatten_dict({path: sample(path, leaf) for path, leaf in flatten_dict(tree).items()})
        for tree in _declared(network)
    )
    return params, batch_stats


def shapes(network: Network) -> tuple[Tree, Tree]:
    """Parameters and statistics of every part as shapes with types; nothing is computed."""
    params, batch_stats = (
        {name: nn.unbox(part) for name, part in tree.items()} for tree in _declared(network)
    )
    return params, batch_stats


def _declared(network: Network) -> tuple[Tree, Tree]:
    """Shapes of all variables, each in its `Declared`."""
    params, batch_stats = {}, {}
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), network.compute_dtype)
    feature_map = jax.ShapeDtypeStruct((2, 4, 4, network.channels), network.compute_dtype)
    for name, part in network.modules.items():
        x = image if name == "trunk" else feature_map
        made = jax.eval_shape(lambda x, part=part: part.init(jax.random.key(0), x, True), x)
        params[name], batch_stats[name] = made["params"], made["batch_stats"]
    return params, batch_stats
